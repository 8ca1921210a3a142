"""Stores gaps in `market.stream_gaps`, ClickHouse's copy of the gap ledger in Kafka.

Add a column of the ledger here; reading the ledger, from Kafka or ClickHouse, belongs to
`inspection.gaps`.
"""

import datetime as dt
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from polygon_assets.messages import Gap

TABLE = "market.stream_gaps"
COLUMNS = (
    "gap_id",
    "since",
    "until",
    "cause",
    "channels",
    "state",
    "events_dropped",
    "epoch",
    "updated_at",
)
LATEST_MS = 4_102_444_800_000
"""2100-01-01 in Unix milliseconds."""


def store(client: Client, gaps: Sequence[Gap], now: dt.datetime) -> None:
    """Store open gaps; a repetition changes only `updated_at`.

    Raises clickhouse_connect's errors.
    """
    if gaps:
        client.insert(TABLE, [_row(gap, now) for gap in gaps], column_names=COLUMNS)


def _row(gap: Gap, now: dt.datetime) -> tuple[object, ...]:
    return (
        gap.gap_id,
        _utc(gap.since),
        _utc(gap.until),
        gap.reason,
        gap.channels,
        "open",
        gap.events_dropped,
        _utc(gap.epoch),
        now,
    )


def _utc(unix_ms: int) -> dt.datetime:
    """A time, clamped to the column's range, so that one wrong time does not refuse all gaps."""
    return dt.datetime.fromtimestamp(min(max(unix_ms, 0), LATEST_MS) / 1000, dt.UTC)
