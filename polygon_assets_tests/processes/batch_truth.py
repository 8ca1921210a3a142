"""The fact rows that the simulated exchange's daily bars must give, and its seconds as stream rows.

The messages that the exchange's socket sends belong to market_truth.
"""

import datetime as dt
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

from polygon_assets.clients import clickhouse
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.settings import Settings
from polygon_assets_tests import market_bars

PRICES = ("open", "high", "low", "close")
Row = tuple[Any, ...]


def bars_of(market: Market, days: Sequence[dt.date]) -> list[Row]:
    """The rows that the fact table must have: ticker, day, prices, volume."""
    return sorted(
        (
            str(bar["symbol"]),
            day,
            *(float(bar[name]) for name in PRICES),
            Decimal(str(bar["volume"])),
        )
        for day in days
        for bar in market_bars.grouped(market, day)
    )


def stream_seconds(
    settings: Settings, truth: Market, symbol: str, day: dt.date, without: range = range(0)
) -> None:
    """Insert a symbol's seconds into ClickHouse, as if they had been streamed."""
    columns = (
        "symbol",
        "start_timestamp",
        "end_timestamp",
        *PRICES,
        "volume",
        "received_at",
        "source",
    )
    rows = [
        (
            symbol,
            start,
            start + dt.timedelta(seconds=1),
            *(float(bar[name]) for name in PRICES),
            Decimal(str(bar["volume"])),
            start,
            "websocket",
        )
        for bar in market_bars.seconds(truth, symbol, day)
        if int(bar["start_ms"]) not in without
        and (start := dt.datetime.fromtimestamp(int(bar["start_ms"]) / 1000, dt.UTC))
    ]
    with closing(clickhouse.connect(settings)) as client:
        client.insert("market.stock_aggregates", rows, column_names=columns)
