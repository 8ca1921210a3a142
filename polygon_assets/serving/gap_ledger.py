"""Stores gaps in `market.stream_gaps`, ClickHouse's copy of the gap ledger in Kafka.

Add a column of the ledger here; reading the ledger, from Kafka or ClickHouse, belongs to
`inspection.gaps`.
"""

import datetime as dt
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from polygon_assets.messages import Gap, clamped_utc

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


def store(client: Client, gaps: Sequence[Gap], now: dt.datetime) -> None:
    """Store open gaps; a repetition changes only `updated_at`.

    Raises clickhouse_connect's errors.
    """
    if gaps:
        client.insert(TABLE, [_row(gap, now) for gap in gaps], column_names=COLUMNS)


def _row(gap: Gap, now: dt.datetime) -> tuple[object, ...]:
    return (
        gap.gap_id,
        clamped_utc(gap.since),
        clamped_utc(gap.until),
        gap.reason,
        gap.channels,
        "open",
        gap.events_dropped,
        clamped_utc(gap.epoch),
        now,
    )
