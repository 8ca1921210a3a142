"""The vendor's second bars as messages, and what the stored rows lack."""

from decimal import Decimal
from typing import Any

import pytest

from polygon_assets.clients.polygon_answers import PolygonNoAnswerError
from polygon_assets.events.validation import refusal_reason, to_row
from polygon_assets.gap_filling.rest_seconds import (
    StoredSecond,
    differences,
    has_odd_vwap,
    to_raw,
    usable,
)

START = 1_795_000_000_000
REQUESTED = (START + 60_000) * 1000
BAR: dict[str, Any] = {
    "t": START,
    "o": 10.0,
    "h": 10.5,
    "l": 9.9,
    "c": 10.2,
    "v": 100,
    "vw": 10.1234,
    "n": 3,
}


def stored(**changes: Any) -> StoredSecond:
    values: dict[str, Any] = {
        "open": 10.0,
        "high": 10.5,
        "low": 9.9,
        "close": 10.2,
        "volume": Decimal("100.000000"),
        "vwap": 10.1234,
        "received_us": REQUESTED - 1,
    }
    return StoredSecond(**(values | changes))


def compared(bar: dict[str, Any], row: StoredSecond | None) -> str:
    found = differences([to_raw("A", bar, REQUESTED)], {} if row is None else {("A", START): row})
    return "missing" if found.missing else "corrected" if found.corrected else "same"


def test_a_bar_becomes_a_valid_message_whose_version_is_the_moment_of_the_request() -> None:
    event = to_raw("BRK.A", BAR | {"v": 25933.6, "otc": True}, REQUESTED)
    assert refusal_reason(event) is None
    row = to_row(event)
    assert (row.symbol, row.start_timestamp, row.end_timestamp) == ("BRK.A", START, START + 1000)
    assert (row.volume, row.otc, row.source) == ("25933.6", True, "rest")
    assert (row.received_at, row.accumulated_volume) == (REQUESTED, None)


@pytest.mark.parametrize(
    "change",
    [
        {"t": None},
        {"t": START + 1},
        {"t": "x"},
        {"o": None},
        {"v": None},
        {"v": "x"},
        {"t": float(START)},
        {"t": START * 1_000_000},
        {"t": 0},
        {"dv": 7.5},
        {"dv": "N/A"},
        {"c": float("nan")},
        {"c": -1},
        {"h": 9.0},
        {"v": -5},
    ],
)
def test_an_unusable_bar_is_no_answer_and_names_the_symbol(change: dict[str, Any]) -> None:
    with pytest.raises(PolygonNoAnswerError, match="second bar of A is unusable"):
        to_raw("A", BAR | change, REQUESTED)


@pytest.mark.parametrize("vwap", [float("nan"), float("inf"), "x", "10.1", True, {}, -1, 0])
def test_an_average_price_that_is_none_is_null_and_costs_no_bar(vwap: Any) -> None:
    assert to_raw("A", BAR | {"vw": vwap}, REQUESTED).vwap is None
    assert has_odd_vwap(BAR | {"vw": vwap})
    assert not has_odd_vwap(BAR)
    assert not has_odd_vwap(BAR | {"vw": None})


@pytest.mark.parametrize("otc", ["no", "true", 1, None, [7], False])
def test_only_true_marks_a_bar_as_traded_over_the_counter(otc: Any) -> None:
    assert to_raw("A", BAR | {"otc": otc}, REQUESTED).otc is False


@pytest.mark.parametrize(
    ("odd", "used", "problem"),
    [
        ([], [0, 1], ""),
        ([BAR], [0, 1], ""),
        ([BAR | {"t": START + 2000, "vw": float("nan")}], [0, 1, 2], ""),
        ([BAR | {"t": START * 1_000_000}], [0, 1], "1 second bars of A are unusable and 2 usable"),
        ([BAR | {"t": START + 2000, "c": None}, {}], [0, 1], "2 second bars of A are unusable"),
        ([BAR | {"c": 10.3}], [1], f"second {START} has two different bars"),
        ([BAR | {"t": START + 60_000}], [0, 1], f"second {START + 60_000} is not within"),
        ([BAR | {"t": START - 1000}], [0, 1], f"second {START - 1000} is not within"),
    ],
)
def test_an_unusable_bar_is_counted_and_named_and_costs_no_other(
    odd: list[dict[str, Any]], used: list[int], problem: str
) -> None:
    bars = [BAR, BAR | {"t": START + 1000}, *odd]
    events, error = usable("A", bars, START, START + 60_000, REQUESTED)
    assert [event.start_timestamp for event in events] == [START + 1000 * n for n in used]
    assert problem in str(error)
    assert (error is None) is (not problem)


def test_a_second_that_the_start_of_the_range_cuts_belongs_to_it() -> None:
    events, error = usable("A", [BAR], START + 999, START + 1500, REQUESTED)
    assert (len(events), error) == (1, None)


@pytest.mark.parametrize(
    ("change", "row", "outcome"),
    [
        ({}, None, "missing"),
        ({}, stored(), "same"),
        ({"v": 100.0}, stored(), "same"),
        ({"v": 100.5, "dv": "100.25"}, stored(volume=Decimal("100.25")), "same"),
        ({"vw": 10.12345}, stored(), "same"),
        ({"vw": 10.2}, stored(), "corrected"),
        ({"vw": 10.1}, stored(vwap=None), "corrected"),
        ({"vw": None}, stored(vwap=None), "same"),
        ({"vw": "x"}, stored(), "same"),
        ({"c": 10.3}, stored(), "corrected"),
        ({"h": 10.6}, stored(), "corrected"),
        ({"v": 101}, stored(), "corrected"),
        ({"c": 10.3}, stored(received_us=REQUESTED + 1), "same"),
    ],
)
def test_only_what_the_tables_lack_is_published(
    change: dict[str, Any], row: StoredSecond | None, outcome: str
) -> None:
    """A row that arrived after the request is newer than REST's answer and stays."""
    assert compared(BAR | change, row) == outcome
