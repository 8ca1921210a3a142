"""Stores accepted sets of channels in `market.subscription_sets`: what was subscribed when.

Add a column of the table here; publishing a set belongs to `clients.subscription_store`. Heartbeats
name the version that their producer followed.
"""

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

from polygon_assets.serving.queries import load
from polygon_assets.subscriptions import AcceptedSet

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "market.subscription_sets"


def store(client: "Client", sets: Iterable[AcceptedSet]) -> None:
    """Store sets; a repetition changes nothing. Raises clickhouse_connect's errors."""
    rows = [
        (kept.version, dt.datetime.fromisoformat(kept.accepted_at), kept.channels) for kept in sets
    ]
    if rows:
        client.insert(TABLE, rows, column_names=("version", "accepted_at", "channels"))


def missing_versions(client: "Client", since: dt.datetime) -> list[str]:
    """The versions that a producer followed since then, and that the table lacks."""
    rows = client.query(load("unknown_subscription_sets"), parameters={"since": since}).result_rows
    return [str(version) for (version,) in rows]
