"""Synthetic aggregates for the tests of the stream programs."""

from typing import Any

from polygon_assets.messages import RawAggregate

START_MS = 1_795_000_000_000
"""A whole second in November 2026."""


def raw_aggregate(**changes: Any) -> RawAggregate:
    """A valid aggregate, with `changes` applied."""
    values: dict[str, Any] = {
        "event_type": "A",
        "symbol": "AAPL",
        "volume": 200,
        "open_price": 25.39,
        "close_price": 25.41,
        "high": 25.45,
        "low": 25.30,
        "start_timestamp": START_MS,
        "end_timestamp": START_MS + 1000,
        "received_at": (START_MS + 3000) * 1000,
        "source": "websocket",
        "accumulated_volume": 8_642_007,
        "official_open_price": 25.66,
        "vwap": 25.3981,
        "aggregate_vwap": 25.3714,
        "average_size": 50,
    }
    return RawAggregate(**values | changes)
