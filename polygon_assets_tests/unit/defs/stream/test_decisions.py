"""When a stream's run is started, left, freed or ended, and a CSV validated, by situation.

Times are New York's of Friday 2026-11-20 unless a test names another day.
"""

import datetime as dt
from dataclasses import replace

import pytest
from dagster import DagsterRunStatus as Status

from polygon_assets.defs.graph.runs import FailOrphanedRun, RunFacts, Wait
from polygon_assets.defs.stream.decisions import (
    MAX_FAILURES,
    CsvFacts,
    Start,
    StopService,
    StreamFacts,
    decide,
    is_finished,
    streams_until,
    validate_csv,
)
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.messages import Heartbeat, ProgramState

NYSE = MarketCalendar("NYSE")
ALWAYS = MarketCalendar("24/7")
FRIDAY = dt.date(2026, 11, 20)


def at(time: str, day: dt.date = FRIDAY) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.fromisoformat(time), NEW_YORK).astimezone(dt.UTC)


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def beat(
    sent_at: dt.datetime, state: ProgramState = "streaming", lag: int | None = None
) -> Heartbeat:
    return Heartbeat("filter", "host:1:1", state, ms(sent_at), ms(sent_at), lag=lag)


def run(
    status: Status,
    created: str,
    ended: str | None = None,
    *,
    last_event: str | None = None,
    needs_human: bool = False,
    name: str = "a",
) -> RunFacts:
    return RunFacts(
        name,
        status,
        at(created),
        at(ended) if ended else None,
        at(last_event) if last_event else None,
        needs_human,
    )


def facts(
    *runs: RunFacts, heartbeat: Heartbeat | None = None, missing: tuple[str, ...] = ()
) -> StreamFacts:
    return StreamFacts("filter", runs, heartbeat, missing)


def failures(count: int, last_ended: str) -> list[RunFacts]:
    return [run(Status.FAILURE, "10:00", last_ended, name=f"f{n}") for n in range(count)]


class TestStart:
    @pytest.mark.parametrize("time", ["03:55", "04:00", "09:30", "19:59", "20:14"])
    def test_starts_from_five_minutes_before_the_open_to_the_end_of_the_revision_window(
        self, time: str
    ) -> None:
        answer = decide(facts(), NYSE, at(time))
        assert isinstance(answer, Start)
        assert (answer.session, answer.attempt, answer.after) == (FRIDAY, 1, "none")

    @pytest.mark.parametrize("time", ["00:30", "03:54", "20:15", "23:00"])
    def test_waits_while_closed(self, time: str) -> None:
        answer = decide(facts(), NYSE, at(time))
        assert isinstance(answer, Wait)
        assert "closed" in answer.reason

    def test_waits_over_a_holiday_and_names_the_next_session(self) -> None:
        answer = decide(facts(), NYSE, at("10:00", dt.date(2026, 11, 26)))
        assert answer == Wait("closed; the next session opens at 2026-11-27 09:00 UTC")

    def test_a_market_that_never_closes_always_has_a_session(self) -> None:
        sunday = dt.date(2026, 11, 22)
        for time in ("00:00", "00:05", "12:00", "23:58"):
            answer = decide(facts(), ALWAYS, at(time, sunday))
            assert isinstance(answer, Start)
            assert answer.session == sunday

    def test_without_settings_it_says_which_instead_of_failing_again_and_again(self) -> None:
        answer = decide(facts(missing=("POLYGON_API_KEY",)), NYSE, at("10:00"))
        assert isinstance(answer, Wait)
        assert "POLYGON_API_KEY" in answer.reason

    def test_yesterdays_runs_do_not_count(self) -> None:
        yesterday = [
            RunFacts(
                "y",
                Status.CANCELED,
                at("09:00", dt.date(2026, 11, 19)),
                at("10:00", dt.date(2026, 11, 19)),
            )
        ]
        answer = decide(facts(*yesterday), NYSE, at("04:00"))
        assert isinstance(answer, Start)
        assert answer.after == "none"


class TestReplaced:
    def test_a_program_whose_work_something_else_does_gets_no_run(self) -> None:
        replaced = replace(facts(), replaced_by="Kafka Connect")
        assert decide(replaced, NYSE, at("10:00")) == Wait("Kafka Connect does its work")
        on_ecs = replace(replaced, desired_tasks=1)
        assert decide(on_ecs, NYSE, at("10:00")) == StopService("Kafka Connect does its work")

    def test_a_run_that_was_launched_by_hand_is_still_watched(self) -> None:
        active = run(Status.STARTED, "10:00", last_event="10:00")
        answer = decide(replace(facts(active), replaced_by="Kafka Connect"), NYSE, at("10:10"))
        assert isinstance(answer, FailOrphanedRun)


class TestNeverASecondCopy:
    @pytest.mark.parametrize(
        "status",
        [Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING],
    )
    def test_waits_for_a_run_that_is_under_way(self, status: Status) -> None:
        assert isinstance(
            decide(facts(run(status, "10:00", last_event="10:00")), NYSE, at("10:01")), Wait
        )

    def test_an_old_failure_behind_the_active_run_changes_nothing(self) -> None:
        active = run(Status.STARTED, "10:00", last_event="10:59")
        assert isinstance(decide(facts(active, *failures(3, "09:59")), NYSE, at("11:00")), Wait)

    def test_waits_while_the_program_runs_outside_dagster(self) -> None:
        answer = decide(
            facts(heartbeat=beat(at("10:00"))), NYSE, at("10:00") + dt.timedelta(seconds=10)
        )
        assert answer == Wait("runs outside Dagster as host:1:1")

    def test_another_machines_leader_is_no_reason_to_be_without_a_standby(self) -> None:
        several = replace(facts(heartbeat=beat(at("10:00"))), copies=2)
        assert isinstance(decide(several, NYSE, at("10:00")), Start)

    def test_another_machines_leader_is_no_sign_of_life_of_this_run(self) -> None:
        gone = run(Status.STARTED, "10:00", last_event="10:01")
        several = replace(facts(gone, heartbeat=beat(at("10:10"))), copies=2)
        assert isinstance(decide(several, NYSE, at("10:10")), FailOrphanedRun)

    @pytest.mark.parametrize("heartbeat", [beat(at("10:00"), "stopped"), beat(at("09:59"))])
    def test_a_stopped_or_silent_program_does_not_run(self, heartbeat: Heartbeat) -> None:
        assert isinstance(decide(facts(heartbeat=heartbeat), NYSE, at("10:00")), Start)


class TestAfterAFailure:
    @pytest.mark.parametrize(("count", "seconds"), [(1, 5), (2, 10), (3, 20), (9, 300)])
    def test_backs_off(self, count: int, seconds: int) -> None:
        runs = failures(count, "10:01")
        assert isinstance(
            decide(facts(*runs), NYSE, at("10:01") + dt.timedelta(seconds=seconds - 1)), Wait
        )
        answer = decide(facts(*runs), NYSE, at("10:01") + dt.timedelta(seconds=seconds))
        assert isinstance(answer, Start)
        assert (answer.attempt, answer.after) == (count + 1, "f0")

    def test_gives_up_after_ten_and_says_so(self) -> None:
        answer = decide(facts(*failures(MAX_FAILURES, "10:01")), NYSE, at("19:00"))
        assert isinstance(answer, Wait)
        assert "gave up" in answer.reason

    def test_a_run_that_lived_long_counts_from_the_beginning_again(self) -> None:
        long = run(Status.FAILURE, "10:30", "12:00", name="long")
        assert isinstance(
            decide(facts(long, *failures(MAX_FAILURES, "10:20")), NYSE, at("12:01")), Start
        )

    def test_what_only_a_person_can_cure_is_tried_again_every_ten_minutes_for_ever(self) -> None:
        runs = [
            run(Status.FAILURE, "10:00", "10:01", needs_human=True, name=f"f{n}")
            for n in range(MAX_FAILURES + 2)
        ]
        assert isinstance(decide(facts(*runs), NYSE, at("10:10")), Wait)
        assert isinstance(decide(facts(*runs), NYSE, at("10:11")), Start)

    def test_a_run_that_ended_well_in_the_middle_of_the_session_is_followed_by_another(
        self,
    ) -> None:
        assert isinstance(
            decide(facts(run(Status.SUCCESS, "10:00", "10:30")), NYSE, at("10:31")), Start
        )


class TestHumanCancel:
    def test_stays_down_for_the_session(self) -> None:
        answer = decide(facts(run(Status.CANCELED, "04:00", "10:00")), NYSE, at("19:00"))
        assert isinstance(answer, Wait)
        assert "cancelled" in answer.reason

    def test_comes_back_with_the_next_session(self) -> None:
        assert isinstance(
            decide(
                facts(run(Status.CANCELED, "04:00", "10:00")),
                NYSE,
                at("04:00", dt.date(2026, 11, 23)),
            ),
            Start,
        )

    def test_a_run_of_an_earlier_day_cancelled_today_stays_down_too(self) -> None:
        cancelled = RunFacts("a", Status.CANCELED, at("10:00", dt.date(2026, 11, 18)), at("10:00"))
        assert isinstance(decide(facts(cancelled), ALWAYS, at("11:00")), Wait)

    def test_a_launch_by_hand_ends_it(self) -> None:
        by_hand = run(Status.FAILURE, "11:00", "11:01", name="hand")
        assert isinstance(
            decide(facts(by_hand, run(Status.CANCELED, "04:00", "10:00")), NYSE, at("11:02")), Start
        )


class TestZombies:
    def test_a_run_without_events_and_heartbeats_is_freed(self) -> None:
        zombie = run(Status.STARTED, "10:00", last_event="10:05")
        answer = decide(facts(zombie, heartbeat=beat(at("10:06"))), NYSE, at("10:10"))
        assert isinstance(answer, FailOrphanedRun)
        assert "10:06" not in answer.reason or answer.run_id == "a"

    @pytest.mark.parametrize(("last_event", "last_beat"), [("10:09", "10:05"), ("10:05", "10:09")])
    def test_either_sign_of_life_protects_it(self, last_event: str, last_beat: str) -> None:
        living = run(Status.STARTED, "10:00", last_event=last_event)
        assert isinstance(
            decide(facts(living, heartbeat=beat(at(last_beat))), NYSE, at("10:10")), Wait
        )

    def test_a_run_whose_program_has_stopped_is_freed_after_a_minute(self) -> None:
        """A full disk: Dagster could not write that the run ended."""
        silent = facts(
            run(Status.STARTED, "10:00", last_event="10:05"), heartbeat=beat(at("10:05"), "stopped")
        )
        assert isinstance(decide(silent, NYSE, at("10:06")), Wait)
        assert isinstance(
            decide(silent, NYSE, at("10:06") + dt.timedelta(seconds=1)), FailOrphanedRun
        )

    def test_a_run_whose_code_server_is_gone_is_freed_after_a_minute(self) -> None:
        """After a power cut, or a kill of Dagster and of the run's process."""
        silent = replace(run(Status.STARTED, "10:00", last_event="10:05"), launcher_is_gone=True)
        draining = facts(silent, heartbeat=beat(at("10:05")))
        assert isinstance(decide(draining, NYSE, at("10:06")), Wait)
        assert isinstance(
            decide(draining, NYSE, at("10:06") + dt.timedelta(seconds=1)), FailOrphanedRun
        )

    def test_the_farewell_of_the_program_before_proves_nothing_of_a_run(self) -> None:
        starting = facts(
            run(Status.STARTED, "10:00", last_event="10:00"), heartbeat=beat(at("09:59"), "stopped")
        )
        assert isinstance(decide(starting, NYSE, at("10:02")), Wait)

    def test_a_queued_run_is_nobodys_zombie(self) -> None:
        assert isinstance(decide(facts(run(Status.QUEUED, "10:00")), NYSE, at("11:00")), Wait)


class TestEndOfTheSession:
    def test_streams_end_with_the_revision_window(self) -> None:
        assert streams_until(NYSE, at("10:00")) == at("20:15")

    def test_a_launch_by_hand_at_night_runs_through_the_next_session(self) -> None:
        assert streams_until(NYSE, at("22:00")) == at("20:15", dt.date(2026, 11, 23))

    def test_an_early_close_ends_early(self) -> None:
        assert streams_until(NYSE, at("10:00", dt.date(2026, 11, 27))) == at(
            "17:15", dt.date(2026, 11, 27)
        )

    def test_where_the_next_session_follows_at_once_nothing_ends(self) -> None:
        assert streams_until(ALWAYS, at("23:59")) is None
        assert not is_finished("producer", (), None, at("23:59"))

    def test_the_producer_ends_first_and_its_readers_when_they_have_read_everything(self) -> None:
        until, later = at("20:15"), at("20:17")
        assert is_finished("producer", (), until, until)
        assert not is_finished("filter", [beat(until, lag=0)], until, until)
        assert not is_finished("filter", [beat(later, lag=7)], until, later)
        assert not is_finished("filter", (), until, later)
        assert is_finished("filter", [beat(later, lag=0)], until, later)

    def test_a_reader_that_is_silent_has_not_proved_that_it_has_read_everything(self) -> None:
        assert not is_finished("filter", [beat(at("20:16"), lag=0)], at("20:15"), at("20:17"))

    def test_the_backlog_of_one_copy_keeps_all_and_a_copy_without_partitions_none(self) -> None:
        until, later = at("20:15"), at("20:17")
        idle, behind, without = (beat(later, lag=lag) for lag in (0, 5_000, None))
        assert is_finished("sink", [idle, idle], until, later)
        assert not is_finished("sink", [idle, behind], until, later)
        assert not is_finished("sink", [behind, idle], until, later)
        assert is_finished("sink", [without, idle], until, later)
        assert not is_finished("sink", [without], until, later)
        assert not is_finished("sink", [idle, beat(at("20:16"), lag=0)], until, later)

    def test_a_reader_that_cannot_catch_up_ends_all_the_same(self) -> None:
        assert is_finished("sink", [beat(at("20:25"), lag=7)], at("20:15"), at("20:25"))


class TestCsv:
    def test_a_new_version_is_validated_at_once(self) -> None:
        assert isinstance(validate_csv(CsvFacts("b", "a"), at("10:00")), Start)

    def test_a_version_that_was_judged_is_left_alone_whatever_the_judgement(self) -> None:
        assert isinstance(
            validate_csv(CsvFacts("a", "a", [run(Status.SUCCESS, "10:00", "10:01")]), at("12:00")),
            Wait,
        )

    def test_a_version_whose_run_is_under_way_is_left_alone(self) -> None:
        assert isinstance(
            validate_csv(CsvFacts("a", "a", [run(Status.STARTED, "10:00")]), at("10:30")), Wait
        )

    def test_a_version_that_could_not_be_judged_is_tried_again_with_pauses(self) -> None:
        failed = [run(Status.FAILURE, "10:00", "10:01"), run(Status.FAILURE, "09:58", "09:59")]
        assert isinstance(validate_csv(CsvFacts("a", "a", failed), at("10:02")), Wait)
        answer = validate_csv(CsvFacts("a", "a", failed), at("10:03"))
        assert isinstance(answer, Start)
        assert answer.attempt == 3


def on_ecs(
    *runs: RunFacts, tasks: int | None = 1, heartbeat: Heartbeat | None = None
) -> StreamFacts:
    return StreamFacts("filter", runs, heartbeat, outlives_run=True, desired_tasks=tasks)


class TestOnEcs:
    def test_a_service_that_goes_on_without_a_run_gets_one_that_adopts_it(self) -> None:
        killed = run(Status.FAILURE, "10:00", "10:30")
        answer = decide(on_ecs(killed, heartbeat=beat(at("10:31"))), NYSE, at("10:31"))
        assert isinstance(answer, Start)
        assert answer.after == "a"

    def test_heartbeats_do_not_prove_a_run_whose_program_goes_on_without_it(self) -> None:
        silent = run(Status.STARTED, "10:00", last_event="10:05")
        seen = beat(at("10:09"))
        assert isinstance(
            decide(on_ecs(silent, heartbeat=seen), NYSE, at("10:09")), FailOrphanedRun
        )
        assert isinstance(decide(facts(silent, heartbeat=seen), NYSE, at("10:09")), Wait)

    @pytest.mark.parametrize(
        ("time", "day"),
        [
            ("20:30", FRIDAY),
            ("03:40", FRIDAY),
            ("12:00", dt.date(2026, 11, 21)),
            ("03:56", dt.date(2026, 11, 26)),
        ],
    )
    def test_outside_sessions_a_service_that_no_run_needs_is_scaled_to_0(
        self, time: str, day: dt.date
    ) -> None:
        answer = decide(on_ecs(), NYSE, at(time, day))
        assert isinstance(answer, StopService)
        assert answer.reason.startswith("closed; the next session opens")
        for idle in (0, None):
            assert isinstance(decide(on_ecs(tasks=idle), NYSE, at(time, day)), Wait)

    def test_a_reader_that_still_drains_after_the_session_is_left(self) -> None:
        assert isinstance(decide(on_ecs(), NYSE, at("20:16")), Wait)
        assert isinstance(decide(on_ecs(), NYSE, at("20:25")), StopService)

    def test_a_run_that_a_person_started_at_night_keeps_its_service(self) -> None:
        by_hand = run(Status.STARTED, "22:00", last_event="22:59")
        assert isinstance(decide(on_ecs(by_hand), NYSE, at("23:00")), Wait)

    def test_a_cancelled_run_whose_process_was_gone_still_brings_its_service_down(self) -> None:
        cancelled = run(Status.CANCELED, "10:00", "10:30")
        answer = decide(on_ecs(cancelled), NYSE, at("10:31"))
        assert isinstance(answer, StopService)
        assert "was cancelled" in answer.reason
        assert isinstance(decide(on_ecs(cancelled, tasks=0), NYSE, at("10:31")), Wait)

    def test_a_failed_run_never_brings_its_service_down(self) -> None:
        waiting = run(Status.FAILURE, "10:00", "10:30")
        assert isinstance(decide(on_ecs(waiting), NYSE, at("10:30")), Wait)
