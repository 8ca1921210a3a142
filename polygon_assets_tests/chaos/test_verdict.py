"""The verdict finds a missing, a surplus and a wrong row among right ones."""

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polygon_assets.clients import clickhouse
from polygon_assets.local.exchange.market.lateness import LONGEST_DELAY
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.launcher.stack import running_stack
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.chaos import verdict
from polygon_assets_tests.chaos.verdict import Comparison, Interval, Key, compare

MARKET = Market(tickers=60, calendar=MarketCalendar("24/7"), activity=50.0)
SYMBOLS = ("AAPL", "MSFT")
COLUMNS = ("symbol", "start_timestamp", "open", "high", "low", "close", "volume", "vwap")
LONG_AGO = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
LENGTH = dt.timedelta(minutes=30)
"""In half an hour some of 3,600 seconds are corrected, whenever the test runs."""
Row = tuple[object, ...]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder: Path = tmp_path_factory.mktemp("verdict")
    with running_stack(folder, only=("clickhouse",), fixed_ports=False) as stack:
        yield stack.settings()


def interval(since: dt.datetime) -> Interval:
    return Interval(since, since + LENGTH)


def rows(since: dt.datetime, version: int) -> list[Row]:
    """The rows of an interval: version 0 is the final one, -1 the one that was sent first."""
    asked_at = since.timestamp()
    return [
        (symbol, dt.datetime.fromtimestamp(start / 1000, dt.UTC), *versions[version])
        for symbol in SYMBOLS
        for start, versions in verdict.versions(MARKET, symbol, interval(since), asked_at)
    ]


def compared(settings: Settings, since: dt.datetime, stored: list[Row]) -> Comparison:
    """The comparison of a table that has only these rows."""
    store(settings, [(*row, "websocket") for row in stored])
    return compare(settings, MARKET, SYMBOLS, interval(since))


def store(settings: Settings, stored: list[Row]) -> None:
    """Make these rows, each with its source, the only ones."""
    received = dt.datetime.now(dt.UTC)
    names = [*COLUMNS, "source", "end_timestamp", "received_at"]
    with closing(clickhouse.connect(settings)) as client:
        for table in ("stock_aggregates", "stock_versions"):
            client.command(f"TRUNCATE TABLE market.{table}")
        rows = [
            (*row, row[1], received + dt.timedelta(microseconds=place))
            for place, row in enumerate(stored)
        ]
        client.insert("market.stock_aggregates", rows, column_names=names)


def milliseconds(row: Row) -> int:
    assert isinstance(row[1], dt.datetime)
    return round(row[1].timestamp() * 1000)


def test_a_table_of_final_rows_equals_the_truth(settings: Settings) -> None:
    stored = rows(LONG_AGO, 0)
    assert len(stored) > 200
    assert compared(settings, LONG_AGO, stored) == Comparison(expected=len(stored))


def test_a_missing_a_surplus_and_a_wrong_row_are_found(settings: Settings) -> None:
    missing, wrong, *others = rows(LONG_AGO, 0)
    _, start, *values = wrong
    stored = [(wrong[0], start, *values[:-2], 999, values[-1]), *others]
    surplus = ("XXXX", start, *values)
    found = compared(settings, LONG_AGO, [*stored, surplus])

    def key(row: Row) -> Key:
        return str(row[0]), milliseconds(row)

    assert found == Comparison(
        len(others) + 2, missing=[key(missing)], surplus=[key(surplus)], wrong=[key(wrong)]
    )


def test_a_first_version_is_wrong_once_its_correction_was_due(settings: Settings) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    overdue = now - dt.timedelta(seconds=LONGEST_DELAY + 300) - LENGTH
    found = compared(settings, overdue, rows(overdue, -1))
    assert found.wrong
    assert not found.missing


def test_a_second_that_only_rest_has_must_lie_in_a_gap_of_its_symbol(settings: Settings) -> None:
    symbol, start, *values = rows(LONG_AGO, 0)[0]
    assert isinstance(start, dt.datetime)
    moments = [start + dt.timedelta(seconds=seconds) for seconds in range(4)]
    streamed, recorded, of_another, outside = ((symbol, at, *values) for at in moments)
    corrected = [(*streamed, "websocket"), (*streamed, "rest")]
    filled = [(*row, "rest") for row in (recorded, of_another, outside)]
    store(settings, [*corrected, *filled])
    entries = [
        GapEntry("1", moments[1], moments[2], "crash"),
        GapEntry("2", moments[2], moments[3], "missing second", channels=("A.OTHER",)),
    ]
    assert verdict.unrecorded(settings, entries, interval(LONG_AGO)) == [
        (symbol, milliseconds(row)) for row in (of_another, outside)
    ]
