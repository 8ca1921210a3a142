"""Computes a trading day's one-minute bars in ClickHouse and proves that they hold every share.

Change how the bars are filled here; when a day is filled belongs to `defs.stream`.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class Seconds:
    """The number of seconds with a trade, and their shares."""

    count: int
    volume: Decimal


@dataclass(frozen=True)
class FilledBars:
    """The bars of a day, and their source counted before and after the computation."""

    bars: int
    symbols: int
    seconds: Seconds
    before: Seconds
    after: Seconds

    @property
    def hold_every_share(self) -> bool:
        """Whether the bars add up to their source.

        While seconds arrive, the bars must have at least as many as the source had before the
        computation, and at most as many as it has after it.
        """
        if self.before == self.after:
            return self.seconds == self.after
        return self.before.count <= self.seconds.count <= self.after.count


def fill_bars(settings: Settings, day: dt.date, comment: str) -> FilledBars:
    """Compute and store the bars of a day; `comment` appears in ClickHouse's query log.

    Raises clickhouse_connect's errors.
    """
    from polygon_assets.clients import clickhouse

    client = clickhouse.connect(settings)
    try:
        before = _source_seconds(client, day)
        client.command(
            load("fill_ohlcv_1m_day"), parameters={"day": day}, settings={"log_comment": comment}
        )
        totals = client.query(load("ohlcv_1m_day_totals"), parameters={"day": day})
        bars, symbols, count, volume = totals.result_rows[0]
        return FilledBars(
            bars, symbols, Seconds(count, volume), before, _source_seconds(client, day)
        )
    finally:
        client.close()


def _source_seconds(client: "Client", day: dt.date) -> Seconds:
    """The stored seconds of a day and their shares; both are 0 for a day without rows."""
    query, parameters = load("row_counts_by_day"), {"from": day, "to": day}
    rows = client.query(query, parameters=parameters).named_results()
    totals = (Seconds(int(row["rows"]), row["volume"]) for row in rows)
    return next(totals, Seconds(0, Decimal(0)))
