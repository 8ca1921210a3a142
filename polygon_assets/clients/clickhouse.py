"""Connections to ClickHouse's HTTP interface (ClickHouse Cloud, self-managed or embedded).

Add a connection option here; queries belong to `serving`, checks of the server to `inspection`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.required_settings import not_set
from polygon_assets.settings import Settings

CONNECT_TIMEOUT_SECONDS = 5
ANSWER_TIMEOUT_SECONDS = 60


def connect(
    settings: Settings, answer_timeout_seconds: int = ANSWER_TIMEOUT_SECONDS, **options: Any
) -> Client:
    """A new client for the caller; threads must not share one.

    Raises clickhouse_connect's OperationalError when the server cannot be reached, and its
    DatabaseError when the server refuses.
    """
    return clickhouse_connect.get_client(
        host=settings.clickhouse_host,
        port=settings.clickhouse_port,
        username=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        secure=settings.clickhouse_secure,
        ca_cert=settings.ca_bundle or None,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        send_receive_timeout=answer_timeout_seconds,
        # A session allows one query at a time, and no caller needs its temporary tables.
        autogenerate_session_id=False,
        **options,
    )


@contextmanager
def connected(
    settings: Settings,
    error_class: type[PolygonAssetsError],
    explain: Callable[[Settings, Error], str],
) -> Iterator[Client]:
    """A client for a block. What fails in it is raised as `error_class`, as `explain` words it."""
    if not settings.clickhouse_host:
        raise error_class(not_set(["CLICKHOUSE_HOST"]))
    try:
        client = connect(settings)
        try:
            yield client
        finally:
            client.close()
    except Error as error:
        raise error_class(explain(settings, error)) from error
