"""The check and the metadata of a compared day; process tests compare days on real servers."""

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import dagster as dg
import pytest

from polygon_assets.batch import day_comparison
from polygon_assets.batch.day_comparison import (
    DayComparison,
    NothingToCompareError,
    _row,
    compare_day,
)
from polygon_assets.batch.marts import MARTS
from polygon_assets.batch.reconciliation import Comparison, DayBar, Tolerance, Verdict, compare
from polygon_assets.clients import snowflake
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.defs.assets.reconciliation import comparison_metadata, judge
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN

FRIDAY = dt.date(2026, 11, 20)


def bars(count: int, different: int = 0) -> list[DayBar]:
    return [
        DayBar(f"S{n:03}", 10.0, 11.0, 9.0, 10.5, Decimal(100 + (n < different)))
        for n in range(count)
    ]


def compared(symbols: list[Comparison], minutes: dict[str, str] | None = None) -> DayComparison:
    return DayComparison(FRIDAY, symbols, minutes or {})


def day(count: int, different: int, minutes: dict[str, str] | None = None) -> DayComparison:
    return compared(compare(bars(count), bars(count, different), None, Tolerance(0, 0)), minutes)


def test_a_day_that_matches_passes() -> None:
    assert judge(day(100, 0)).passed


@pytest.mark.parametrize(
    ("different", "severity"), [(5, dg.AssetCheckSeverity.WARN), (6, dg.AssetCheckSeverity.ERROR)]
)
def test_a_few_differences_are_a_warning_and_more_an_error(
    different: int, severity: dg.AssetCheckSeverity
) -> None:
    answer = judge(day(100, different))
    assert (answer.passed, answer.severity) == (False, severity)


def test_a_symbol_that_is_wholly_missing_is_an_error_by_itself() -> None:
    answer = judge(compared(compare(bars(100)[1:], bars(100), None, Tolerance(0, 0))))
    assert (answer.passed, answer.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert answer.description == "2026-11-20: 1 of 100 symbols differ\n\n* S000: missing_in_stream"


def test_the_minutes_of_the_worst_are_named_in_the_check_and_in_the_table() -> None:
    found = day(3, 1, {"S000": "10:31-10:33"})
    assert "S000: drift, minutes 10:31-10:33" in (judge(found).description or "")
    assert (
        "| S000 | drift | 10:31-10:33 | -0.990099% | 0.000000% | 100 | 101 |"
        in comparison_metadata(found, 3)["worst"].value
    )


def test_counts_and_drifts_are_numbers_that_can_be_plotted() -> None:
    metadata = comparison_metadata(day(3, 1), 3)
    assert [metadata[str(verdict)] for verdict in Verdict] == [2, 0, 0, 1]
    assert metadata["largest_volume_drift"] == pytest.approx(1 / 101)
    assert metadata["largest_price_drift"] == 0.0


def test_a_row_has_every_column_of_the_table() -> None:
    found = day(1, 1)
    row = _row(found, found.symbols[0], dt.datetime.now(dt.UTC))
    assert {name.upper() for name in row} == {
        name for name, _, _ in MARTS["stream_vs_batch"].columns
    }


@pytest.mark.parametrize(
    ("streamed", "batch", "side"),
    [
        ([], bars(1), "clickhouse/stock_aggregates"),
        (bars(1), [], "snowflake/marts/fact_daily_trading"),
    ],
)
def test_a_day_of_which_one_side_has_nothing_fails_and_says_which(
    monkeypatch: pytest.MonkeyPatch, streamed: list[DayBar], batch: list[DayBar], side: str
) -> None:
    monkeypatch.setattr(day_comparison, "_streamed_bars", lambda *_: streamed)
    monkeypatch.setattr(day_comparison, "day_bars", lambda *_: batch)
    monkeypatch.setattr(snowflake, "connect", lambda _settings: SimpleNamespace(close=lambda: None))
    with pytest.raises(
        NothingToCompareError,
        match=f"nothing to compare: {side} has no row of 2026-11-20",
    ):
        compare_day(ALWAYS_OPEN, MarketCalendar("NYSE"), FRIDAY)


def test_minutes_that_cannot_be_read_are_unknown_and_end_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(day_comparison, "_streamed_volumes", lambda *_: {})
    monkeypatch.setattr(PolygonRest, "minute_bars", lambda *_: [{"t": "no moment", "v": 1}])
    minutes, note = day_comparison._minutes(ALWAYS_OPEN, FRIDAY, ["AAPL", "MSFT"])
    assert minutes == {}
    assert note.startswith(
        "the minutes of AAPL and of later symbols are unknown: the answer has no usable minutes: "
    )


def test_nothing_compared_does_not_pass() -> None:
    answer = judge(compared([]))
    assert (answer.passed, answer.severity) == (False, dg.AssetCheckSeverity.ERROR)
