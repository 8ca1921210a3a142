"""The decisions of the batch half, by situation. Times are New York's.

2026-11-26 is Thanksgiving, and the day after closes early.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from dagster import DagsterRunStatus as Status

from polygon_assets.defs.batch.decisions import (
    DAYS_PER_RUN,
    Backlog,
    Load,
    ReferenceFacts,
    count_attempt,
    daily_batch_due,
    goes_through_airbyte,
    left_to_the_schedule,
    missing_days,
    orphaned_runs,
    reference_changed,
    reference_load_due,
    settled_days,
)
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.graph.runs import RunFacts, Wait
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar

NYSE = MarketCalendar("NYSE")
ALWAYS = MarketCalendar("24/7")
WEDNESDAY, THANKSGIVING, BLACK_FRIDAY, MONDAY = (dt.date(2026, 11, day) for day in (25, 26, 27, 30))
WEEK = [dt.date(2026, 11, day) for day in (16, 17, 18, 19, 20)]


def at(day: dt.date, time: str) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.fromisoformat(time), NEW_YORK).astimezone(dt.UTC)


NOW = at(dt.date(2026, 11, 21), "12:00")


def run(status: Status, ended_ago: float, name: str = "run-a") -> RunFacts:
    """A run that ended so many minutes before NOW."""
    end = NOW - dt.timedelta(minutes=ended_ago)
    return RunFacts(name, status, end - dt.timedelta(minutes=1), end)


def reason(answer: Load | Wait | None) -> str:
    assert isinstance(answer, Wait)
    return answer.reason


class TestSettledDays:
    @pytest.mark.parametrize(
        ("day", "time", "newest"),
        [
            (WEDNESDAY, "20:14", dt.date(2026, 11, 24)),
            (WEDNESDAY, "20:15", WEDNESDAY),
            (THANKSGIVING, "23:00", WEDNESDAY),
            (BLACK_FRIDAY, "17:14", WEDNESDAY),
            (BLACK_FRIDAY, "17:15", BLACK_FRIDAY),
            (MONDAY, "09:00", BLACK_FRIDAY),
        ],
    )
    def test_the_newest_is_the_one_whose_corrections_have_ended(
        self, day: dt.date, time: str, newest: dt.date
    ) -> None:
        assert NYSE.newest_settled_day(at(day, time)) == newest

    def test_a_market_that_never_closes_ends_its_day_at_midnight(self) -> None:
        sunday = dt.date(2026, 11, 22)
        assert ALWAYS.newest_settled_day(at(sunday, "00:14")) == dt.date(2026, 11, 20)
        assert ALWAYS.newest_settled_day(at(sunday, "00:15")) == dt.date(2026, 11, 21)

    def test_a_history_leaves_out_weekends_holidays_and_what_has_no_partition(self) -> None:
        assert settled_days(NYSE, at(MONDAY, "21:00"), 4) == [
            dt.date(2026, 11, 24),
            WEDNESDAY,
            BLACK_FRIDAY,
            MONDAY,
        ]
        assert settled_days(NYSE, at(MONDAY, "21:00"), 0) == []
        assert settled_days(NYSE, at(dt.date(2026, 1, 5), "21:00"), 10) == [
            FIRST_DAY,
            dt.date(2026, 1, 5),
        ]


def due(
    loaded: Collection[dt.date], calendar: MarketCalendar, now: dt.datetime, **others: Any
) -> Load | Wait:
    """What the schedule of the day does at that time."""
    return daily_batch_due(
        Backlog([calendar.newest_settled_day(now)], loaded, **others), calendar, now
    )


class TestDailyBatch:
    def test_a_day_is_loaded_once_it_is_final(self) -> None:
        answer = due({dt.date(2026, 11, 24)}, NYSE, at(WEDNESDAY, "20:20"))
        assert answer == Load(f"{WEDNESDAY} is final", (WEDNESDAY,))

    def test_an_early_close_is_loaded_early(self) -> None:
        assert isinstance(due({WEDNESDAY}, NYSE, at(BLACK_FRIDAY, "17:20")), Load)

    @pytest.mark.parametrize(
        ("day", "time", "message"),
        [
            (
                WEDNESDAY,
                "17:20",
                "2026-11-24 is loaded; 2026-11-25 ends at 20:00 New York and is final 15 min later",
            ),
            (THANKSGIVING, "20:20", "2026-11-25 is loaded; 2026-11-26 is no trading day"),
            (BLACK_FRIDAY, "20:20", "2026-11-27 is loaded"),
        ],
    )
    def test_it_waits_and_says_what_is_with_today(
        self, day: dt.date, time: str, message: str
    ) -> None:
        loaded = set(NYSE.trading_days(dt.date(2026, 11, 2), day))
        assert reason(due(loaded, NYSE, at(day, time))) == message

    def test_it_does_not_join_a_run_that_is_under_way(self) -> None:
        assert "run abc is under way" in reason(due((), NYSE, NOW, under_way="abc"))

    def test_it_names_what_is_not_set(self) -> None:
        message = reason(due((), NYSE, NOW, missing_settings=["AIRBYTE_WORKSPACE_ID"]))
        assert "not set: AIRBYTE_WORKSPACE_ID" in message

    def test_where_the_market_never_closes_yesterday_is_loaded_after_midnight(self) -> None:
        answer = due((), ALWAYS, at(dt.date(2026, 11, 22), "00:20"))
        assert isinstance(answer, Load)
        assert answer.days == (dt.date(2026, 11, 21),)

    def test_the_newest_day_is_the_schedules_until_midnight(self) -> None:
        assert left_to_the_schedule(NYSE, WEDNESDAY, at(WEDNESDAY, "23:59"))
        assert not left_to_the_schedule(NYSE, WEDNESDAY, at(THANKSGIVING, "00:00"))
        assert not left_to_the_schedule(NYSE, dt.date(2026, 11, 24), at(WEDNESDAY, "23:00"))

    def test_where_the_market_never_closes_it_is_the_schedules_for_ten_minutes(self) -> None:
        saturday, sunday = dt.date(2026, 11, 21), dt.date(2026, 11, 22)
        assert left_to_the_schedule(ALWAYS, saturday, at(sunday, "00:24"))
        assert not left_to_the_schedule(ALWAYS, saturday, at(sunday, "00:25"))


class TestRoute:
    def test_only_the_newest_settled_day_alone_can_be_had_by_a_sync(self) -> None:
        friday, thursday = WEEK[-1], WEEK[-2]
        assert goes_through_airbyte([friday], NYSE, NOW)
        assert not goes_through_airbyte([thursday], NYSE, NOW)
        assert not goes_through_airbyte([thursday, friday], NYSE, NOW)


class TestMissingDays:
    def test_with_nothing_loaded_the_whole_history_is_one_range(self) -> None:
        answer = missing_days(Backlog(WEEK, ()), {}, NOW)
        assert isinstance(answer, Load)
        assert (answer.days, answer.after) == (tuple(WEEK), "none")

    def test_the_newest_days_without_a_hole_come_first(self) -> None:
        answer = missing_days(Backlog(WEEK, {WEEK[2]}), {}, NOW)
        assert isinstance(answer, Load)
        assert answer.days == (WEEK[3], WEEK[4])
        answer = missing_days(Backlog(WEEK, set(WEEK[2:])), {}, NOW)
        assert isinstance(answer, Load)
        assert answer.days == (WEEK[0], WEEK[1])

    def test_a_run_takes_no_more_than_its_share(self) -> None:
        wanted = list(NYSE.trading_days(dt.date(2026, 9, 1), WEEK[-1]))
        answer = missing_days(Backlog(wanted, ()), {}, NOW)
        assert isinstance(answer, Load)
        assert answer.days == tuple(wanted[-DAYS_PER_RUN:])

    def test_a_day_that_is_tried_in_vain_lets_the_others_have_as_many_tries(self) -> None:
        def requested(
            tries: Mapping[dt.date, int], done: Collection[dt.date] = (WEEK[2],)
        ) -> tuple[dt.date, ...]:
            answer = missing_days(Backlog(WEEK, done), tries, NOW)
            assert isinstance(answer, Load)
            return answer.days

        assert requested({WEEK[4]: 2}) == (WEEK[3], WEEK[4])
        assert requested({WEEK[4]: 3}) == (WEEK[3],)
        assert requested({WEEK[4]: 3, WEEK[3]: 3}) == (WEEK[0], WEEK[1])
        assert requested({WEEK[4]: 3, WEEK[3]: 3}, WEEK[:3]) == (WEEK[3], WEEK[4])
        assert requested({WEEK[4]: 4, WEEK[3]: 3}, WEEK[:3]) == (WEEK[3], WEEK[4])
        assert requested({WEEK[4]: 6, WEEK[3]: 3}, WEEK[:3]) == (WEEK[3],)

    def test_remembered_are_the_tries_of_days_that_are_still_missing(self) -> None:
        backlog, before = Backlog(WEEK, (WEEK[2],)), {WEEK[4]: 1, WEEK[2]: 2, WEEK[0]: 1}
        assert count_attempt(backlog, before, missing_days(backlog, before, NOW)) == {
            WEEK[4]: 2,
            WEEK[0]: 1,
        }
        assert count_attempt(backlog, before, Wait("")) == {WEEK[4]: 1, WEEK[0]: 1}

    def test_whatever_fails_every_missing_day_is_tried_again_and_again(self) -> None:
        backlog, tries = Backlog(WEEK, (WEEK[2],)), dict[dt.date, int]()
        begun = list[dt.date]()
        for _ in range(24):
            answer = missing_days(backlog, tries, NOW)
            assert isinstance(answer, Load)
            begun.append(answer.days[-1])
            tries = dict(count_attempt(backlog, tries, answer))
        assert begun == 2 * [day for day in (WEEK[4], WEEK[3], WEEK[1], WEEK[0]) for _ in range(3)]

    def test_a_table_that_takes_one_day_at_a_time_is_asked_for_the_newest(self) -> None:
        answer = missing_days(Backlog(WEEK, (), days_per_run=1), {}, NOW)
        assert isinstance(answer, Load)
        assert answer.days == (WEEK[-1],)

    def test_nothing_is_asked_for_when_nothing_is_missing(self) -> None:
        assert reason(missing_days(Backlog(WEEK, set(WEEK)), {}, NOW)) == "none is missing of 5"

    def test_one_run_at_a_time(self) -> None:
        assert "5 missing; run abc is under way" in reason(
            missing_days(Backlog(WEEK, (), under_way="abc"), {}, NOW)
        )

    def test_what_has_to_be_there_first_is_waited_for(self) -> None:
        assert (
            reason(missing_days(Backlog(WEEK, (), waits_for="the reference data"), {}, NOW))
            == "5 missing; first comes the reference data"
        )

    @pytest.mark.parametrize(("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (7, 60), (30, 60)])
    def test_after_failures_it_pauses_longer_and_longer_up_to_an_hour(
        self, failures: int, minutes: int
    ) -> None:
        def backlog(ended_ago: float) -> Backlog:
            return Backlog(
                WEEK, (), [run(Status.FAILURE, ended_ago, f"run-{n}") for n in range(failures)]
            )

        assert "ended as failure; next try at" in reason(
            missing_days(backlog(minutes - 0.1), {}, NOW)
        )
        answer = missing_days(backlog(minutes), {}, NOW)
        assert isinstance(answer, Load)
        assert answer.after == "run-0"

    def test_what_failed_before_a_success_is_forgotten(self) -> None:
        runs = [run(Status.SUCCESS, 0.1, "run-b"), run(Status.FAILURE, 0.2)]
        answer = missing_days(Backlog(WEEK, {WEEK[4]}, runs), {}, NOW)
        assert isinstance(answer, Load)
        assert answer.after == "run-b"

    def test_after_a_cancel_it_leaves_an_hour(self) -> None:
        assert "ended as canceled" in reason(
            missing_days(Backlog(WEEK, (), [run(Status.CANCELED, 59)]), {}, NOW)
        )
        assert isinstance(
            missing_days(Backlog(WEEK, (), [run(Status.CANCELED, 60)]), {}, NOW), Load
        )

    def test_without_settings_it_says_which(self) -> None:
        message = reason(
            missing_days(Backlog(WEEK, (), missing_settings=["SNOWFLAKE_ACCOUNT"]), {}, NOW)
        )
        assert "not set: SNOWFLAKE_ACCOUNT" in message


def test_a_run_without_an_event_for_more_than_ten_minutes_is_freed() -> None:
    last_event_minutes = {"silent": 11.0, "alive": 9.0}
    born = NOW - dt.timedelta(hours=9)
    runs = [
        RunFacts(name, Status.STARTED, born, last_event_at=NOW - dt.timedelta(minutes=ago))
        for name, ago in last_event_minutes.items()
    ]
    [free, wordless] = orphaned_runs([*runs, RunFacts("wordless", Status.STARTED, born)], NOW)
    assert (free.run_id, wordless.run_id) == ("silent", "wordless")
    assert "no event from the run since 2026-11-21 16:49:00 UTC" in free.reason


class TestReference:
    SYNCED = "2026-11-20T10:00:00+00:00"

    def test_what_was_never_synced_is_loaded_at_once(self) -> None:
        answer = reference_load_due(ReferenceFacts(None), NOW)
        assert isinstance(answer, Load)

    def test_a_first_sync_that_failed_is_repeated_after_a_pause(self) -> None:
        assert "next try at" in reason(
            reference_load_due(ReferenceFacts(None, runs=[run(Status.FAILURE, 0.5)]), NOW)
        )
        answer = reference_load_due(ReferenceFacts(None, runs=[run(Status.FAILURE, 1)]), NOW)
        assert isinstance(answer, Load)
        assert answer.after == "run-a"

    def test_the_vendor_is_asked_once_an_hour(self) -> None:
        assert reference_load_due(ReferenceFacts(self.SYNCED), NOW) is None
        assert (
            reference_load_due(ReferenceFacts(self.SYNCED, NOW - dt.timedelta(minutes=60)), NOW)
            is None
        )
        message = reason(
            reference_load_due(ReferenceFacts(self.SYNCED, NOW - dt.timedelta(minutes=59)), NOW)
        )
        assert "next check at 17:01 UTC" in message

    def test_a_run_under_way_is_not_joined_and_nothing_is_asked(self) -> None:
        assert "run abc" in reason(reference_load_due(ReferenceFacts(None, under_way="abc"), NOW))

    def test_without_settings_it_says_which(self) -> None:
        assert "AIRBYTE_CLIENT_ID" in reason(
            reference_load_due(ReferenceFacts(None, missing_settings=["AIRBYTE_CLIENT_ID"]), NOW)
        )

    @pytest.mark.parametrize(
        "change", ["2026-11-20T10:00:00Z", "2026-11-20T05:00:00-05:00", "2026-11-19T10:00:00Z"]
    )
    def test_a_change_that_the_last_sync_saw_is_none(self, change: str) -> None:
        assert "unchanged since" in reason(reference_changed(ReferenceFacts(self.SYNCED), change))

    def test_a_later_change_is_synced(self) -> None:
        assert isinstance(
            reference_changed(ReferenceFacts(self.SYNCED), "2026-11-20T10:00:01Z"), Load
        )
