"""Stores heartbeats in `market.stream_heartbeats`, the proof of what was covered when.

Add a column of the history here; which heartbeats are stored belongs to the supervising run, and
reading them to `inspection.tables`.
"""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polygon_assets.messages import Heartbeat, ProgramName, clamped_utc
from polygon_assets.serving.queries import load

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "market.stream_heartbeats"
_TIMES = (
    "sent_at",
    "started_at",
    "epoch",
    "complete_until",
    "newest_event",
    "newest_received_at",
)
_OTHERS = (
    "program",
    "instance",
    "state",
    "detail",
    "rate",
    "lag",
    "arrival_delay_ms",
    "desired",
    "confirmed",
    "subscriptions_version",
    "restarts",
    "counters",
)


def store(client: "Client", heartbeats: Sequence[Heartbeat]) -> None:
    """Store heartbeats; a repetition changes nothing. Raises clickhouse_connect's errors."""
    if heartbeats:
        client.insert(TABLE, [as_row(beat) for beat in heartbeats], column_names=_TIMES + _OTHERS)


def first_sent_at(client: "Client", program: ProgramName) -> dt.datetime | None:
    """When the first stored heartbeat of a program was sent; None without one."""
    rows = client.query(
        load("first_heartbeat"), parameters={"program": program}, tz_mode="aware"
    ).result_rows
    first: dt.datetime | None = rows[0][0]
    return first


def as_row(beat: Heartbeat) -> tuple[object, ...]:
    times = tuple(_time(getattr(beat, name)) for name in _TIMES)
    return times + tuple(getattr(beat, name) for name in _OTHERS)


def _time(unix_ms: int | None) -> dt.datetime | None:
    """None also for an epoch of 0: the producer has not connected yet."""
    return clamped_utc(unix_ms) if unix_ms else None
