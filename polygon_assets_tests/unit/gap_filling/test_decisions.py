"""Which gap is filled next, which waits for a person, and what a run is launched for."""

import datetime as dt
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from polygon_assets.defs.graph.runs import FailOrphanedRun, RunFacts, Wait
from polygon_assets.defs.stream.fill_gaps import Fill, decide
from polygon_assets.gap_filling.decisions import (
    MOST_PER_RUN,
    Limits,
    Market,
    Need,
    duration,
    fetched_together,
    is_due,
    need,
    newly_waiting,
    next_to_fill,
    open_seconds,
    reason_to_wait,
    requests_per_minute,
    spanned,
)
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import clamped_utc
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
LIMITS = Limits(seconds=3600, requests=1000)
ALWAYS_OPEN = MarketCalendar("24/7")
MARKET = Market(ALWAYS_OPEN, 52)


def gap(seconds_ago: float = 60, length: float = 10, **changes: Any) -> GapEntry:
    until = NOW - dt.timedelta(seconds=seconds_ago)
    entry = GapEntry(f"g{seconds_ago:g}", until - dt.timedelta(seconds=length), until, "crash")
    return replace(entry, **changes)


@pytest.mark.parametrize(
    ("entry", "due"),
    [
        (gap(19), False),
        (gap(20), True),
        (gap(20, state="filling"), True),
        (gap(15 * 60, state="filled"), False),
        (gap(16 * 60, state="filled"), True),
        (gap(5, state="filled", verify_after=NOW), True),
        (gap(9999, state="verified"), False),
        (gap(9999, state="waived"), False),
        (gap(9999, state="unfillable"), False),
    ],
)
def test_a_gap_is_due_when_its_seconds_are_final_and_again_after_the_revision_window(
    entry: GapEntry, due: bool
) -> None:
    assert is_due(entry, NOW) is due


@pytest.mark.parametrize(
    ("length", "symbols", "requests"), [(10, 52, 52), (49_000, 52, 52), (49_101, 52, 104)]
)
def test_a_symbol_needs_one_request_for_each_50000_seconds(
    length: float, symbols: int, requests: int
) -> None:
    assert need(gap(length=length), Market(ALWAYS_OPEN, symbols)).requests == requests


def test_a_gap_of_one_channel_needs_the_requests_of_one() -> None:
    one, all_of_them = gap(channels=("A.AAPL",)), gap(channels=("A.*",))
    assert need(one, MARKET).requests == 1
    assert need(all_of_them, MARKET).requests == 52


def test_a_gap_counts_the_time_in_which_the_market_was_open() -> None:
    """From the last seconds of a Friday to the first ones of the Monday after it."""
    weekend = GapEntry(
        "g",
        dt.datetime(2026, 11, 21, 0, 59, 55, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 23, 9, 0, 7, tzinfo=dt.UTC),
        "restart",
    )
    assert open_seconds(weekend, MarketCalendar("NYSE")) == 12
    assert reason_to_wait(weekend, Market(MarketCalendar("NYSE"), 52), LIMITS) == ""
    assert open_seconds(weekend, ALWAYS_OPEN) == weekend.seconds


@pytest.mark.parametrize("until", [clamped_utc(0), clamped_utc(10**18)])
def test_a_gap_with_a_wrong_stamp_waits_and_hides_no_other(until: dt.datetime) -> None:
    wrong = GapEntry("wrong", clamped_utc(0), until, "crash")
    market = Market(MarketCalendar("NYSE"), 52)
    assert gap() in next_to_fill([wrong, gap()], market, LIMITS, NOW)
    assert open_seconds(wrong, market.calendar) == wrong.seconds


@pytest.mark.parametrize(
    ("plan", "own", "rate", "takes"),
    [
        (5, 0, 3, "at least 334 min at 3 a minute"),
        (1, 0, 1, "at least 1,000 min at 1 a minute"),
        (600, 0, 300, "at least 4 min at 300 a minute"),
        (5, 4, 4, "at least 250 min at 4 a minute"),
        (0, 100, 100, "at least 10 min at 100 a minute"),
        (0, 0, 0, "as fast as the vendor answers"),
    ],
)
def test_a_fill_leaves_half_of_a_limited_plan_to_live_data(
    plan: int, own: int, rate: int, takes: str
) -> None:
    settings = Settings(polygon_requests_per_minute=plan, gap_fill_requests_per_minute=own)
    assert requests_per_minute(settings) == rate
    assert duration(Need(1_000, 1_000), rate) == takes


def test_the_oldest_go_first_and_a_run_takes_a_limited_number() -> None:
    entries = [gap(60 + number) for number in range(MOST_PER_RUN + 5)]
    chosen = next_to_fill(entries, MARKET, LIMITS, NOW)
    assert list(chosen) == entries[: -MOST_PER_RUN - 1 : -1]


def test_a_gap_above_a_limit_waits_for_a_person_and_says_so_once() -> None:
    long, wide = gap(length=3601), gap(90)
    assert "GAP_FILL_MAX_SECONDS" in reason_to_wait(long, MARKET, LIMITS)
    assert "GAP_FILL_MAX_REQUESTS" in reason_to_wait(wide, Market(ALWAYS_OPEN, 1001), LIMITS)
    assert next_to_fill([long], MARKET, LIMITS, NOW) == []
    [waiting] = newly_waiting([long, gap(90)], MARKET, LIMITS)
    assert waiting.note.startswith("waits until a person launches fill_gaps: 3,601 s long")
    assert newly_waiting([waiting], MARKET, LIMITS) == []


def run(status: dg.DagsterRunStatus, minutes_ago: float) -> RunFacts:
    at = NOW - dt.timedelta(minutes=minutes_ago)
    return RunFacts("run-1-of-many", status, at, at, at)


class TestDecide:
    def test_due_gaps_are_filled_by_one_run(self) -> None:
        assert decide([gap(70), gap(60)], [], NOW) == Fill(["g70", "g60"], "none:g70")

    def test_a_second_run_waits_for_the_first(self) -> None:
        answer = decide([gap()], [run(dg.DagsterRunStatus.STARTED, 1)], NOW)
        assert isinstance(answer, Wait)

    def test_a_run_whose_process_is_gone_is_reported_as_failed(self) -> None:
        answer = decide([gap()], [run(dg.DagsterRunStatus.STARTED, 4)], NOW)
        assert isinstance(answer, FailOrphanedRun)

    def test_a_failed_fill_is_tried_again_after_a_growing_pause(self) -> None:
        failed = run(dg.DagsterRunStatus.FAILURE, 0.3)
        assert isinstance(decide([gap()], [failed], NOW), Fill)
        answer = decide([gap()], [failed, failed], NOW)
        assert isinstance(answer, Wait)
        assert "next try" in answer.reason

    def test_a_gap_recorded_after_a_failed_run_does_not_wait_for_its_pause(self) -> None:
        failed = run(dg.DagsterRunStatus.FAILURE, 0.3)
        old, new = gap(updated_at=NOW - 9 * MINUTE), gap(updated_at=NOW)
        assert isinstance(decide([old], [failed] * 5, NOW), Wait)
        assert isinstance(decide([new], [failed] * 5, NOW), Fill)
        assert isinstance(decide([replace(new, note="failed")], [failed] * 5, NOW), Wait)

    def test_without_a_due_gap_nothing_is_launched(self) -> None:
        assert decide([], [], NOW) == Wait("no gap is due")


QUARTER = 15 * 60
SHORT = gap(5000)
"""From 5,010 to 5,000 s ago; its fetch begins 15 minutes earlier."""


@pytest.mark.parametrize(
    ("other", "together"),
    [
        pytest.param(gap(4990, 5), True, id="soon after it"),
        pytest.param(gap(4000, 1000 - QUARTER - 1), False, id="more than a window later"),
        pytest.param(gap(4000, 1001), True, id="it reaches into it"),
        pytest.param(gap(5000 + QUARTER, 10), True, id="its end is fetched too"),
        pytest.param(gap(5010 + QUARTER, 10), False, id="its end is not fetched any more"),
        pytest.param(gap(4990, 5, channels=("A.AAPL",)), False, id="other channels"),
        pytest.param(gap(4990, 5, state="filled"), False, id="another state"),
        pytest.param(gap(4990, 5, note="the last try failed"), False, id="its last try failed"),
        pytest.param(gap(4990, 5, gap_id="unreadable-report-1"), False, id="no interval is known"),
    ],
)
def test_gaps_that_ask_for_the_same_seconds_are_fetched_together(
    other: GapEntry, together: bool
) -> None:
    for gaps in ([SHORT, other], [other, SHORT]):
        groups = fetched_together(gaps)
        assert groups == ([gaps] if together else [[gap] for gap in gaps])


def test_a_group_spans_from_its_earliest_to_its_latest_moment() -> None:
    earlier, later = gap(100, 50), gap(20, 10)
    span = spanned([later, earlier])
    assert (span.gap_id, span.since, span.until) == (later.gap_id, earlier.since, later.until)
