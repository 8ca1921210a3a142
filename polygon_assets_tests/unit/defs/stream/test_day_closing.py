"""When a trading day is proved complete, and the words for why it is not.

Times are New York's of Friday 2026-11-20 unless a test names another day.
"""

import datetime as dt
from dataclasses import replace

import pytest

from polygon_assets.defs.stream.day_closing import DayFacts, day_closed
from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.messages import utc
from polygon_assets.serving.gap_ledger import GapEntry, GapState, unreadable_report
from polygon_assets_tests.unit.defs.stream.test_decisions import FRIDAY, NYSE, at


def gap(since: str, until: str, cause: str = "disconnect", state: GapState = "open") -> GapEntry:
    return GapEntry("g", at(since), at(until), cause, state=state)


class TestDayClosed:
    def verdict(self, now: str = "20:16", **changes: object) -> str:
        given = {"rows": 1000} | changes
        verdict = day_closed(DayFacts(FRIDAY, **given), NYSE, at(now))  # type: ignore[arg-type]
        return "closed" if verdict.closed else verdict.reason

    def test_closed_when_everything_is_proved(self) -> None:
        assert self.verdict() == "closed"

    def test_not_before_the_revision_window_has_passed(self) -> None:
        assert "corrections may come" in self.verdict("20:14")

    def test_not_while_a_report_is_unreadable_whenever_it_came(self) -> None:
        report = unreadable_report(b"?", 0, "no gap")
        assert "unfillable" in self.verdict(gaps=(report,))

    def test_not_without_rows(self) -> None:
        assert "no row" in self.verdict(rows=0)

    def test_not_when_time_of_the_session_is_neither_covered_nor_recorded(self) -> None:
        uncovered = (Interval(at("04:00"), at("04:10")), Interval(at("12:00"), at("12:01")))
        doubt = self.verdict(uncovered=uncovered)
        assert "no producer had all its channels from 09:00:00 to 09:10:00 UTC" in doubt
        assert "(2 such interval(s))" in doubt

    @pytest.mark.parametrize("state", ["open", "filling", "filled", "unfillable"])
    def test_not_with_an_unsettled_gap_inside_the_session(self, state: GapState) -> None:
        doubt = self.verdict(gaps=(gap("10:00", "10:01", state=state),))
        assert doubt == f"gaps: 1 {state}; the first at 15:00:00 UTC (disconnect)"

    def test_a_gap_whose_beginning_is_no_time_counts_from_the_open(self) -> None:
        nonsense = replace(gap("10:00", "10:01", "drop"), since=utc(0))
        assert "the first at 09:00:00 UTC (drop)" in self.verdict(gaps=(nonsense,))

    def test_a_gap_of_the_night_does_not_matter(self) -> None:
        assert self.verdict(gaps=(gap("01:00", "04:00", "crash"),)) == "closed"

    def test_not_while_messages_of_the_day_are_pending(self) -> None:
        assert "clickhouse_sink has not processed" in self.verdict(
            pending_since={"clickhouse_sink": at("20:14")}
        )

    def test_what_was_received_after_the_window_may_be_pending(self) -> None:
        assert (
            self.verdict(pending_since={"clickhouse_sink": at("20:15"), "polygon_filter": None})
            == "closed"
        )

    def test_a_day_without_a_session_is_never_closed(self) -> None:
        assert not day_closed(
            DayFacts(dt.date(2026, 11, 26), 1), NYSE, at("20:16", dt.date(2026, 11, 27))
        ).closed

    def test_every_doubt_is_named(self) -> None:
        assert self.verdict(rows=0, pending_since={"g": at("19:00")}).count(";") == 1
