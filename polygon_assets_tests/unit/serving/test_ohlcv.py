"""Minute bars and daily sums of the serving tables, against the same sums in plain Python."""

import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.serving.queries import load
from polygon_assets_tests.unit.serving.seconds import (
    OPENING_MS,
    Second,
    insert,
    insert_in_disorder,
    newest,
    random_seconds,
)

DAY = dt.date(2024, 3, 8)
SYMBOLS = ("AAPL", "MSFT")


def bars(seconds: list[Second]) -> dict[tuple[str, int], list[Any]]:
    """Open, high, low, close, volume, vwap and count of each minute, from the winning versions."""
    minutes: dict[tuple[str, int], list[Second]] = defaultdict(list)
    for second in sorted(newest(seconds).values(), key=lambda second: second.start_ms):
        minutes[second.symbol, second.start_ms // 60_000 * 60_000].append(second)
    return {
        key: [*_prices(inside), sum(second.volume for second in inside), _vwap(inside), len(inside)]
        for key, inside in minutes.items()
    }


def _prices(seconds: list[Second]) -> list[float]:
    return [
        seconds[0].open,
        max(second.high for second in seconds),
        min(second.low for second in seconds),
        seconds[-1].close,
    ]


def _vwap(seconds: list[Second]) -> float | None:
    weighed = [(float(second.volume), second.vwap) for second in seconds if second.vwap is not None]
    return (
        sum(volume * vwap for volume, vwap in weighed) / sum(volume for volume, _ in weighed)
        if weighed
        else None
    )


def stored_bars(
    client: Client, source: str, parameters: dict[str, Any]
) -> dict[tuple[str, int], list[Any]]:
    columns = (
        "symbol, toUnixTimestamp(minute) * 1000, open, high, low, close, volume, vwap, seconds"
    )
    rows = client.query(f"SELECT {columns} FROM {source}", parameters=parameters).result_rows
    return {(row[0], row[1]): list(row[2:]) for row in rows}


def assert_equal(
    stored: dict[tuple[str, int], list[Any]], expected: dict[tuple[str, int], list[Any]]
) -> None:
    assert stored.keys() == expected.keys()
    for key, bar in expected.items():
        *exact, vwap, count = bar
        assert stored[key] == [*exact, pytest.approx(vwap), count]


@pytest.fixture
def seconds(client: Client) -> list[Second]:
    rng = random.Random(8)
    seconds = random_seconds(rng, SYMBOLS, OPENING_MS, 250)
    insert_in_disorder(client, rng, seconds)
    return seconds


def test_minute_bars_match_a_plain_computation(client: Client, seconds: list[Second]) -> None:
    source = (
        "market.ohlcv_1m(from_ts = {from:DateTime64(3, 'UTC')}, to_ts = {to:DateTime64(3, 'UTC')})"
    )
    day = {
        "from": dt.datetime(2024, 3, 8, tzinfo=dt.UTC),
        "to": dt.datetime(2024, 3, 9, tzinfo=dt.UTC),
    }
    assert_equal(stored_bars(client, source, day), bars(seconds))


def test_filling_a_day_again_replaces_it(client: Client, seconds: list[Second]) -> None:
    client.command(load("fill_ohlcv_1m_day"), parameters={"day": DAY})
    correction = [
        Second(
            second.symbol,
            second.start_ms,
            second.received_us + 60_000_000,
            1,
            2,
            0.5,
            1.5,
            Decimal(7),
            1.5,
        )
        for second in seconds[:40]
    ]
    insert(client, correction)
    for _ in range(2):
        client.command(load("fill_ohlcv_1m_day"), parameters={"day": DAY})
    assert_equal(
        stored_bars(client, "market.ohlcv_1m_by_day FINAL", {}), bars([*seconds, *correction])
    )


def test_a_day_is_filled_from_new_york_midnight_to_midnight(client: Client) -> None:
    """The clocks changed on 10 March 2024: that day runs from 05:00 UTC to 04:00 UTC."""
    edges = [dt.datetime(2024, 3, 10, 5, tzinfo=dt.UTC), dt.datetime(2024, 3, 11, 4, tzinfo=dt.UTC)]
    starts = [int(edge.timestamp()) * 1000 + offset for edge in edges for offset in (-1000, 0)]
    insert(
        client,
        [Second("AAPL", start, start * 1000, 1, 1, 1, 1, Decimal(1), None) for start in starts],
    )
    client.command(load("fill_ohlcv_1m_day"), parameters={"day": dt.date(2024, 3, 10)})
    stored = stored_bars(client, "market.ohlcv_1m_by_day FINAL", {})
    assert sorted(minute for _, minute in stored) == [starts[1], starts[2] // 60_000 * 60_000]


def test_days_are_counted_by_trading_day(client: Client, seconds: list[Second]) -> None:
    parameters = {"from": DAY - dt.timedelta(days=3), "to": DAY}
    (row,) = client.query(
        load("row_counts_by_day"), parameters=parameters, tz_mode="aware"
    ).named_results()
    winners = newest(seconds)
    assert (row["trading_day"], row["rows"], row["symbols"]) == (DAY, len(winners), 2)
    assert row["volume"] == sum(second.volume for second in winners.values())


def test_a_symbols_day_has_the_prices_of_regular_hours_and_the_shares_of_the_whole_day(
    client: Client, seconds: list[Second]
) -> None:
    opened, closed = OPENING_MS + 60_000, OPENING_MS + 180_000
    insert(client, [Second("EARLY", OPENING_MS, OPENING_MS, 1, 1, 1, 1, Decimal(1), None)])
    parameters = {
        "day": DAY,
        "open": dt.datetime.fromtimestamp(opened / 1000, dt.UTC),
        "close": dt.datetime.fromtimestamp(closed / 1000, dt.UTC),
    }
    rows = {
        row["symbol"]: row
        for row in client.query(load("day_by_symbol"), parameters=parameters).named_results()
    }
    assert rows.keys() == set(SYMBOLS)
    for symbol, row in rows.items():
        inside = sorted(
            (second for key, second in newest(seconds).items() if key[0] == symbol),
            key=lambda second: second.start_ms,
        )
        regular = [second for second in inside if opened <= second.start_ms < closed]
        assert 0 < len(regular) < len(inside)
        assert [row["open"], row["high"], row["low"], row["close"]] == _prices(regular)
        assert (row["volume"], row["seconds"]) == (
            sum(second.volume for second in inside),
            len(inside),
        )
