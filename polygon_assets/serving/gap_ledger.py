"""Copies the gap ledger from Kafka to `market.stream_gaps`. Reading it, from either place, belongs to `inspection.gaps`."""

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


def store(client: Client, gaps: Sequence[Gap], now: dt.datetime) -> None:
    """Store open gaps; repeating it changes nothing but `updated_at`. Raises clickhouse_connect's errors."""
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


def _utc(milliseconds: int) -> dt.datetime:
    """Clamped to what the column can hold: a nonsense stamp must not keep the other gaps out."""
    return dt.datetime.fromtimestamp(min(max(milliseconds, 0), 4_102_444_800_000) / 1000, dt.UTC)
