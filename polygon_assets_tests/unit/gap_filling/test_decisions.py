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
    is_due,
    need,
    newly_waiting,
    next_to_fill,
    too_large,
)
from polygon_assets.serving.gap_ledger import GapEntry

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
LIMITS = Limits(seconds=3600, requests=1000)


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
    assert need(gap(length=length), symbols).requests == requests


def test_the_oldest_go_first_and_a_run_takes_a_limited_number() -> None:
    entries = [gap(60 + number) for number in range(MOST_PER_RUN + 5)]
    chosen = next_to_fill(entries, 52, LIMITS, NOW)
    assert list(chosen) == entries[: -MOST_PER_RUN - 1 : -1]


def test_a_gap_above_a_limit_waits_for_a_person_and_says_so_once() -> None:
    long, wide = gap(length=3601), gap(90)
    assert "GAP_FILL_MAX_SECONDS" in too_large(long, 52, LIMITS)
    assert "GAP_FILL_MAX_REQUESTS" in too_large(wide, 1001, LIMITS)
    assert next_to_fill([long], 52, LIMITS, NOW) == []
    [waiting] = newly_waiting([long, gap(90)], 52, LIMITS)
    assert waiting.note.startswith("waits until a person launches fill_gaps: 3,601 s long")
    assert newly_waiting([waiting], 52, LIMITS) == []


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

    def test_without_a_due_gap_nothing_is_launched(self) -> None:
        assert decide([], [], NOW) == Wait("no gap is due")
