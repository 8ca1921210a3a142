"""Aggregates that the filter accepts and refuses, and the row made from an accepted one."""

from typing import Any

import pytest

from polygon_assets.events.validation import exact_decimal, readable, refusal_reason, to_row
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

SYMBOLS = ("A", "BRK.B", "BACpE", "ABR.WS", "T")
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"event_type": "AM"}, "event_type 'AM'"),
    ({"symbol": ""}, "symbol ''"),
    ({"symbol": "AAPL; DROP"}, "symbol 'AAPL; DROP'"),
    ({"symbol": "A" * 21}, "symbol"),
    ({"low": 0.0}, "prices"),
    ({"open_price": -1.0}, "prices"),
    ({"low": 25.40}, "prices"),
    ({"high": 25.40}, "prices"),
    ({"high": float("inf")}, "prices"),
    ({"close_price": float("nan")}, "prices"),
    ({"vwap": 0.0}, "vwap 0.0"),
    ({"volume": -1}, "volume '-1'"),
    ({"accumulated_volume": 10**13}, "accumulated_volume"),
    ({"decimal_volume": "1.1234567"}, "volume '1.1234567'"),
    ({"decimal_volume": "1e3"}, "volume '1e3'"),
    ({"average_size": -2}, "average_size -2"),
    ({"end_timestamp": START_MS + 60_000}, "window of 60000 ms"),
    ({"start_timestamp": START_MS + 1, "end_timestamp": START_MS + 1001}, "whole second"),
    ({"start_timestamp": 1_795_000_000, "end_timestamp": 1_795_001_000}, "before 2003"),
    ({"received_at": (START_MS - 70_000) * 1000}, "later than its arrival"),
)
VOLUMES: tuple[tuple[float | None, str | None], ...] = (
    (200, "200"),
    (200.0, "200"),
    (0.5, "0.5"),
    (1e11, "100000000000"),
    (None, None),
    (0, "0"),
)


def test_a_well_formed_aggregate_is_accepted() -> None:
    assert refusal_reason(raw_aggregate()) is None


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_real_spellings_of_tickers_are_accepted(symbol: str) -> None:
    assert refusal_reason(raw_aggregate(symbol=symbol)) is None


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_each_rejection_names_the_field_and_its_value(changes: dict[str, Any], reason: str) -> None:
    assert reason in (refusal_reason(raw_aggregate(**changes)) or "")


def test_the_row_drops_the_event_type_and_renames_to_the_columns() -> None:
    row = to_row(raw_aggregate())
    assert (row.open, row.high, row.low, row.close) == (25.39, 25.45, 25.30, 25.41)
    assert (row.volume, row.accumulated_volume) == ("200", "8642007")
    assert row.readable_timestamp == readable(START_MS)


def test_exact_decimals_replace_the_rounded_volumes() -> None:
    row = to_row(raw_aggregate(decimal_volume="200.123456", decimal_accumulated_volume="8642007.5"))
    assert (row.volume, row.accumulated_volume) == ("200.123456", "8642007.5")


@pytest.mark.parametrize(("number", "text"), VOLUMES)
def test_numbers_become_decimals_without_an_exponent(
    number: float | None, text: str | None
) -> None:
    assert exact_decimal(None, number) == text


def test_readable_timestamps_are_utc_with_milliseconds() -> None:
    assert readable(1_610_144_868_007) == "2021-01-08T22:27:48.007Z"
