"""The rules of the reconciliation, in memory: verdicts, tolerances, differing minutes.

Comparing a real day over the embedded stack belongs to end_to_end/test_replayed_day.py.
"""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from polygon_assets.batch.reconciliation import (
    Comparison,
    DayBar,
    Tolerance,
    Verdict,
    compare,
    different_minutes,
    minute_volumes,
    spans,
)

EXACT = Tolerance(0, 0)
DAY = dt.date(2026, 11, 20)
AAPL = DayBar("AAPL", 100.0, 110.0, 90.0, 105.0, Decimal("1000.25"))
MSFT = DayBar("MSFT", 10.0, 10.0, 10.0, 10.0, Decimal(7))


def verdicts(*comparisons: Comparison) -> dict[str, Verdict]:
    return {comparison.symbol: comparison.verdict for comparison in comparisons}


def minute(time: str) -> dt.datetime:
    """A minute of 2026-11-20, New York."""
    return dt.datetime.fromisoformat(f"2026-11-20T{time}:00-05:00").astimezone(dt.UTC)


def test_equal_days_match_exactly() -> None:
    [comparison] = compare([AAPL], [AAPL], {"AAPL"}, EXACT)
    assert (
        comparison.verdict,
        comparison.volume_drift,
        comparison.price_drift,
        comparison.severity,
    ) == (
        Verdict.MATCH,
        0,
        0,
        0,
    )


def test_a_thousandth_of_a_share_is_a_drift_without_a_tolerance() -> None:
    [comparison] = compare([replace(AAPL, volume=Decimal("1000.249"))], [AAPL], {"AAPL"}, EXACT)
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.volume_drift == pytest.approx(-0.001 / 1000.25)


@pytest.mark.parametrize(
    ("volume", "verdict"),
    [("990", Verdict.MATCH), ("989.999", Verdict.DRIFT), ("1010.001", Verdict.DRIFT)],
)
def test_a_volume_may_differ_by_its_tolerance_either_way(volume: str, verdict: Verdict) -> None:
    [comparison] = compare(
        [replace(AAPL, volume=Decimal(volume))],
        [replace(AAPL, volume=Decimal(1000))],
        {"AAPL"},
        Tolerance(0.01, 0),
    )
    assert comparison.verdict is verdict


@pytest.mark.parametrize("price", ["open", "high", "low", "close"])
def test_each_price_counts(price: str) -> None:
    [comparison] = compare(
        [replace(AAPL, **{price: getattr(AAPL, price) * 1.002})],
        [AAPL],
        {"AAPL"},
        Tolerance(0, 0.001),
    )
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.price_drift == pytest.approx(0.002)


def test_a_subscribed_symbol_missing_in_the_stream_has_infinite_severity() -> None:
    comparisons = compare([AAPL], [AAPL, MSFT], {"AAPL", "MSFT"}, EXACT)
    assert verdicts(*comparisons) == {"AAPL": Verdict.MATCH, "MSFT": Verdict.MISSING}
    assert comparisons[1].severity == float("inf")
    assert comparisons[1].volume_drift is None


def test_an_unsubscribed_symbol_may_be_missing_in_the_stream() -> None:
    assert verdicts(*compare([AAPL], [AAPL, MSFT], {"AAPL"}, EXACT)) == {"AAPL": Verdict.MATCH}


def test_with_all_symbols_subscribed_every_bar_must_be_in_the_stream() -> None:
    assert verdicts(*compare([AAPL], [AAPL, MSFT], None, EXACT))["MSFT"] is Verdict.MISSING


def test_a_subscribed_symbol_without_trades_is_no_difference() -> None:
    assert compare([], [], {"AAPL"}, EXACT) == []


def test_a_symbol_without_a_bar_is_surplus_even_if_it_is_no_longer_subscribed() -> None:
    assert verdicts(*compare([MSFT], [], set(), EXACT)) == {"MSFT": Verdict.SURPLUS}


def test_a_bar_of_zeros_does_not_divide_by_zero() -> None:
    nothing = DayBar("MSFT", 0.0, 0.0, 0.0, 0.0, Decimal(0))
    [comparison] = compare([MSFT], [nothing], None, EXACT)
    assert (comparison.verdict, comparison.volume_drift, comparison.price_drift) == (
        Verdict.DRIFT,
        1.0,
        1.0,
    )


def test_minutes_with_fewer_or_more_shares_or_on_one_side_alone_differ() -> None:
    theirs = {
        minute("10:30"): Decimal(5),
        minute("10:31"): Decimal("1.5"),
        minute("10:32"): Decimal(2),
    }
    ours = {minute("10:30"): Decimal(5), minute("10:32"): Decimal(3), minute("10:33"): Decimal(1)}
    assert different_minutes(ours, theirs) == [minute("10:31"), minute("10:32"), minute("10:33")]


def test_minutes_are_listed_as_spans_in_new_york_time() -> None:
    minutes = [minute(time) for time in ("10:31", "10:32", "10:33", "15:59", "16:01")]
    assert spans(minutes) == "10:31-10:33, 15:59, 16:01"
    assert spans([]) == ""
    assert spans(
        [minute(f"{hour:02}:{even:02}") for hour in range(4, 6) for even in range(0, 60, 2)]
    ).endswith("04:58, and 30 more")


def test_the_vendors_minutes_are_read_exactly() -> None:
    start = int(minute("09:30").timestamp() * 1000)
    bars: list[dict[str, Any]] = [
        {"t": start, "v": 0.1, "dv": "0.123456"},
        {"t": start + 60_000, "v": 25933.6},
    ]
    assert minute_volumes(bars, DAY) == {
        minute("09:30"): Decimal("0.123456"),
        minute("09:31"): Decimal("25933.6"),
    }
    assert minute_volumes([], DAY) == {}


@pytest.mark.parametrize("bar", [{"v": 3}, {"t": 0, "v": None}, {"t": 0}])
def test_a_bar_without_a_minute_is_quoted_in_the_error(bar: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the answer has no usable minutes: ") as error:
        minute_volumes([bar], DAY)
    assert str(bar) in str(error.value)


def test_a_minute_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="no usable minutes: one of 2 comes twice"):
        minute_volumes([{"t": 0, "v": 1}, {"t": 0, "v": 2}], DAY)


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("unknown", ["NaN", "Infinity", "-Infinity", None])
@pytest.mark.parametrize("tolerance", [EXACT, Tolerance(1, 1)])
def test_a_bar_with_an_unknown_value_never_matches(
    name: str, unknown: str | None, tolerance: Tolerance
) -> None:
    value: Any = (
        None if unknown is None else Decimal(unknown) if name == "volume" else float(unknown)
    )
    odd = replace(AAPL, **{name: value})
    for stream, batch in ((odd, AAPL), (AAPL, odd), (odd, odd)):
        [comparison] = compare([stream], [batch], None, tolerance)
        assert (comparison.verdict, comparison.severity) == (Verdict.DRIFT, float("inf"))


@pytest.mark.parametrize(
    "sent",
    [{"dv": "N/A", "v": 1}, {"v": float("nan")}, {"v": "x"}, {"v": True}, {"v": {}}],
    ids=str,
)
def test_a_minute_whose_volume_is_not_a_number_always_differs(sent: dict[str, Any]) -> None:
    stamp = int(minute("10:31").timestamp() * 1000)
    volumes = minute_volumes([{"t": stamp, **sent}], DAY)
    assert different_minutes({minute("10:31"): Decimal(1)}, volumes) == [minute("10:31")]
    assert different_minutes(volumes, volumes) == [minute("10:31")]


@pytest.mark.parametrize(
    "stamp",
    [1e300, "x", None, float("nan"), 99999999999999999999, 0, 1_795_208_400, 1_795_208_400 * 10**6],
)
def test_a_minute_without_a_valid_moment_is_refused(stamp: Any) -> None:
    with pytest.raises(ValueError, match="the answer has no usable minutes"):
        minute_volumes([{"t": stamp, "v": 1}], DAY)
