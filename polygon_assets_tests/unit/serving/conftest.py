"""A migrated ClickHouse server for the serving tests, whose tables are emptied before each test."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.stack import running_stack
from polygon_assets.settings import Settings

TABLES = (
    "stock_aggregates",
    "stock_versions",
    "stock_recent",
    "stock_newest",
    "ohlcv_1m_by_day",
    "stream_gaps",
    "stream_heartbeats",
    "dead_letters",
    "dead_letter_replays",
    "subscription_sets",
    "alerts",
)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_stack(
        tmp_path_factory.mktemp("stack"), only=("clickhouse",), fixed_ports=False
    ) as stack:
        yield stack.settings()


@pytest.fixture(scope="session")
def session_client(settings: Settings) -> Iterator[Client]:
    client = clickhouse.connect(settings)
    yield client
    client.close()
    client.close_connections()


@pytest.fixture
def client(session_client: Client) -> Client:
    for table in TABLES:
        session_client.command(f"TRUNCATE TABLE market.{table}")
    return session_client
