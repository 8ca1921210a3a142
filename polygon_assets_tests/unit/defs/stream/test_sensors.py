"""Ticks of the stream half's sensors and schedules: their requests, and why they skip."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from polygon_assets import market_calendar
from polygon_assets.clients import subscription_store
from polygon_assets.clients.subscription_store import SubscriptionStoreError
from polygon_assets.definitions import build_defs
from polygon_assets.defs.graph.keys import OHLCV_1M, STOCK_AGGREGATES
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import NEEDS_HUMAN_TAG
from polygon_assets.defs.stream import decisions, facts, fill_gaps, sensors
from polygon_assets.defs.stream.day_closing import DayFacts
from polygon_assets.defs.stream.jobs import ETAG_TAG, PROGRAM_TAG
from polygon_assets.defs.stream.open_days import open_days
from polygon_assets.defs.stream.schedules import _settling, ohlcv_1m_while_open
from polygon_assets.defs.stream.sensors import (
    stream_supervisor,
    subscriptions_csv,
    trading_day_closer,
)
from polygon_assets.inspection import InspectionError, gaps
from polygon_assets.market_calendar import ONE_DAY, MarketCalendar
from polygon_assets.messages import PROGRAMS
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.ecs_cluster import running_ecs
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN, NothingSet, OpenMarket
from polygon_assets_tests.unit.defs.ticks import reason, requests, tick

ECS_SETTINGS = (
    "stream_runner",
    "ecs_cluster",
    "aws_endpoint_url_ecs",
    "aws_access_key_id",
    "aws_secret_access_key",
)
JOBS = tuple(f"run_{program}" for program in PROGRAMS)


class TestSupervisor:
    def test_it_starts_all_programs_although_no_broker_can_be_reached(
        self, instance: dg.DagsterInstance
    ) -> None:
        launched = requests(tick(stream_supervisor, instance))
        assert [request.job_name for request in launched] == list(JOBS)
        today = MarketCalendar("24/7").day_of(dt.datetime.now(dt.UTC)).isoformat()
        assert [request.run_key for request in launched] == [
            f"{name}:{today}:none" for name in PROGRAMS
        ]
        assert {request.tags["polygon/session"] for request in launched} == {today}

    def test_it_starts_nothing_that_is_under_way(self, instance: dg.DagsterInstance) -> None:
        for job in JOBS:
            create_run_for_test(instance, job_name=job, status=dg.DagsterRunStatus.STARTED)
        assert "producer: run" in reason(tick(stream_supervisor, instance))

    def test_it_scales_the_service_of_a_cancelled_run_to_0(
        self, instance: dg.DagsterInstance
    ) -> None:
        with running_ecs() as cluster:
            services = [f"polygon-assets-{program}" for program in PROGRAMS]
            cluster.create(*services, desired=1)
            settings = ALWAYS_OPEN.model_copy(
                update={name: getattr(cluster.settings(), name) for name in ECS_SETTINGS}
            )

            class OnEcs(Environment):
                def settings(self) -> Settings:
                    return settings

            create_run_for_test(
                instance, job_name="run_filter", status=dg.DagsterRunStatus.CANCELED
            )
            launched = requests(tick(stream_supervisor, instance, OnEcs()))
            assert "run_filter" not in [request.job_name for request in launched]
            assert cluster.scaled == [("polygon-assets-filter", 0)]
            for name in JOBS:
                create_run_for_test(instance, job_name=name, status=dg.DagsterRunStatus.STARTED)
            assert "filter: run" in reason(tick(stream_supervisor, instance, OnEcs()))
        answer = reason(tick(stream_supervisor, instance, OnEcs()))
        assert "services unknown (ECS, " in answer

    def test_it_leaves_down_what_someone_cancelled(self, instance: dg.DagsterInstance) -> None:
        create_run_for_test(instance, job_name="run_filter", status=dg.DagsterRunStatus.CANCELED)
        assert [request.job_name for request in requests(tick(stream_supervisor, instance))] == [
            "run_producer",
            "run_sink",
            "run_archiver",
        ]

    def test_the_run_before_is_part_of_the_key_so_that_no_key_is_used_twice(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decisions, "FIRST_PAUSE", dt.timedelta())
        failed = create_run_for_test(
            instance, job_name="run_sink", status=dg.DagsterRunStatus.FAILURE
        )
        sink = requests(tick(stream_supervisor, instance))[2]
        assert sink.run_key is not None
        assert sink.run_key.endswith(failed.run_id)
        assert sink.tags["polygon/attempt"] == "2"

    def test_a_run_that_needs_a_human_is_not_tried_at_once(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decisions, "FIRST_PAUSE", dt.timedelta())
        create_run_for_test(
            instance,
            job_name="run_sink",
            status=dg.DagsterRunStatus.FAILURE,
            tags={NEEDS_HUMAN_TAG: "true"},
        )
        assert [request.job_name for request in requests(tick(stream_supervisor, instance))] == [
            "run_producer",
            "run_filter",
            "run_archiver",
        ]

    def test_it_frees_a_run_whose_process_is_gone(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decisions, "ORPHAN_AGE", dt.timedelta(seconds=-1))
        zombie = create_run_for_test(
            instance, job_name="run_filter", status=dg.DagsterRunStatus.STARTED
        )
        tick(stream_supervisor, instance)
        freed = instance.get_run_by_id(zombie.run_id)
        assert freed is not None
        assert freed.status is dg.DagsterRunStatus.FAILURE

    def test_it_launches_nothing_once_the_dagster_above_it_is_gone(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sensors, "is_intact", lambda _line: False)
        assert "is gone" in reason(tick(stream_supervisor, instance))

    def test_with_nothing_set_it_says_what_is_missing(self, instance: dg.DagsterInstance) -> None:
        message = reason(tick(stream_supervisor, instance, NothingSet()))
        assert "producer: not set: KAFKA_BOOTSTRAP_SERVERS, POLYGON_API_KEY" in message
        assert "sink: not set: KAFKA_BOOTSTRAP_SERVERS, CLICKHOUSE_HOST" in message


@dataclass
class FakeStore:
    etag: str | None

    def csv_etag(self) -> str:
        if self.etag is None:
            raise SubscriptionStoreError("s3://bucket/subscriptions.csv: no answer")
        return self.etag


class TestCsv:
    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
        store = FakeStore("one")
        monkeypatch.setattr(subscription_store, "connect", lambda _settings: store)
        return store

    def test_each_version_is_validated_once_also_when_it_comes_back(
        self, instance: dg.DagsterInstance, store: FakeStore
    ) -> None:
        first = tick(subscriptions_csv, instance)
        assert isinstance(first, dg.SensorResult)
        assert requests(first)[0].tags[ETAG_TAG] == "one"
        assert first.cursor == "one"
        assert "unchanged" in reason(tick(subscriptions_csv, instance, cursor="one"))
        store.etag = "two"
        assert requests(tick(subscriptions_csv, instance, cursor="one"))[0].tags[ETAG_TAG] == "two"
        store.etag = "one"
        assert len(requests(tick(subscriptions_csv, instance, cursor="two"))) == 1

    def test_a_run_that_failed_to_judge_is_repeated_after_a_pause(
        self, instance: dg.DagsterInstance, store: FakeStore
    ) -> None:
        assert store.etag == "one"
        create_run_for_test(instance, status=dg.DagsterRunStatus.FAILURE, tags={ETAG_TAG: "one"})
        assert "ended as failure; next try at" in reason(
            tick(subscriptions_csv, instance, cursor="one")
        )

    def test_when_s3_is_away_it_says_so_and_keeps_its_cursor(
        self, instance: dg.DagsterInstance, store: FakeStore
    ) -> None:
        store.etag = None
        assert "no answer" in reason(tick(subscriptions_csv, instance, cursor="one"))


def test_after_weeks_without_power_older_days_are_recorded_than_may_be_closed(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar, now = MarketCalendar("NYSE"), dt.datetime(2026, 11, 30, 17, tzinfo=dt.UTC)
    closed = open_days(instance, calendar, now, [])
    assert (len(closed), closed[0]) == (5, dt.date(2026, 11, 23)), "Thanksgiving is no trading day"
    recorded: list[dt.date] = []

    def record(*arguments: Any) -> NoReturn:
        recorded.extend(arguments[3])
        raise InspectionError("enough seen")

    monkeypatch.setattr(gaps, "ledger", lambda _settings: [])
    monkeypatch.setattr(fill_gaps, "record", record)
    monkeypatch.setattr(OpenMarket, "calendar", lambda _environment: calendar)
    assert "enough seen" in reason(tick(fill_gaps.gap_filler, instance))
    assert len(recorded) == 20
    assert recorded == sorted(recorded)


class TestDays:
    @pytest.fixture(autouse=True)
    def only_yesterday_is_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.yesterday = MarketCalendar("24/7").day_of(dt.datetime.now(dt.UTC)) - ONE_DAY
        monkeypatch.setattr(
            MarketCalendar, "is_settled", lambda _calendar, day, _now: day == self.yesterday
        )
        # Yesterday ended long enough ago, also shortly after midnight.
        monkeypatch.setattr(market_calendar, "REVISION_WINDOW", dt.timedelta())

    def facts(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        def day_facts(_settings: Settings, days: Sequence[dt.date], *_: object) -> list[DayFacts]:
            return [DayFacts(day, rows) for day in days]

        monkeypatch.setattr(sensors, "ledger", lambda _settings: [])
        monkeypatch.setattr(facts, "day_facts", day_facts)

    def test_a_proved_day_is_materialized_once_and_the_bars_follow(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.facts(monkeypatch, rows=100)
        defs, bars = build_defs(ALWAYS_OPEN), dg.AssetSelection.assets(OHLCV_1M)
        before = dg.evaluate_automation_conditions(defs, instance=instance, asset_selection=bars)
        assert before.total_requested == 0
        answer = tick(trading_day_closer, instance)
        assert isinstance(answer, dg.SensorResult)
        (event,) = answer.asset_events
        assert isinstance(event, dg.AssetMaterialization)
        assert (event.asset_key, event.partition) == (STOCK_AGGREGATES, self.yesterday.isoformat())
        instance.report_runless_asset_event(event)
        assert self.yesterday not in open_days(
            instance, MarketCalendar("24/7"), dt.datetime.now(dt.UTC), []
        )
        assert "no day is over" in reason(tick(trading_day_closer, instance))
        followed = dg.evaluate_automation_conditions(
            defs, instance=instance, asset_selection=bars, cursor=before.cursor
        )
        assert followed.get_requested_partitions(OHLCV_1M) == {self.yesterday.isoformat()}

    def test_no_day_is_closed_on_the_delayed_cluster(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.facts(monkeypatch, rows=100)
        url = {"polygon_websocket_url": "wss://delayed.massive.com/stocks"}
        delayed = ALWAYS_OPEN.model_copy(update=url)
        monkeypatch.setattr(OpenMarket, "settings", lambda _environment: delayed)
        assert "the delayed cluster" in reason(tick(trading_day_closer, instance))

    def test_a_day_that_was_closed_too_early_is_proved_again(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.facts(monkeypatch, rows=100)
        day = self.yesterday.isoformat()
        instance.report_runless_asset_event(
            dg.AssetMaterialization(STOCK_AGGREGATES, partition=day)
        )
        noon = dt.datetime.combine(self.yesterday, dt.time(17), dt.UTC)
        known = GapEntry("g", noon, noon + dt.timedelta(seconds=9), "crash", state="verified")
        for hours, reopened in ((-1, False), (1, True)):
            at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
            entries = [replace(known, updated_at=at)]
            monkeypatch.setattr(sensors, "ledger", lambda _settings, entries=entries: entries)
            answer = tick(trading_day_closer, instance)
            events = answer.asset_events if isinstance(answer, dg.SensorResult) else []
            assert [event.partition for event in events] == [day] * reopened

    def test_why_a_day_is_still_open_is_told_once(
        self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.facts(monkeypatch, rows=0)
        first = tick(trading_day_closer, instance)
        assert isinstance(first, dg.SensorResult)
        (event,) = first.asset_events
        assert isinstance(event, dg.AssetObservation)
        assert "not streamed" in str(event.metadata["still_open"].value)
        again = tick(trading_day_closer, instance, cursor=first.cursor)
        assert isinstance(again, dg.SensorResult)
        assert again.asset_events == []
        assert "not streamed" in reason(again)

    def test_what_cannot_be_asked_proves_nothing(self, instance: dg.DagsterInstance) -> None:
        assert "nothing can be proved now" in reason(tick(trading_day_closer, instance))


class TestSchedules:
    @pytest.fixture
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """A schedule's context loads its instance again, which one in memory cannot be."""
        with dg.instance_for_test() as one:
            yield one

    def evaluate(self, instance: dg.DagsterInstance, environment: Environment) -> object:
        now = dt.datetime(2026, 11, 22, 16, 5, tzinfo=dt.UTC)
        with dg.build_schedule_context(
            instance, scheduled_execution_time=now, resources={"environment": environment}
        ) as context:
            return ohlcv_1m_while_open(context)

    def test_todays_bars_are_refreshed_while_open(self, instance: dg.DagsterInstance) -> None:
        answer = self.evaluate(instance, OpenMarket())
        assert isinstance(answer, dg.RunRequest)
        assert answer.partition_key == "2026-11-22"

    def test_a_refresh_that_still_runs_is_not_joined_by_another(
        self, instance: dg.DagsterInstance
    ) -> None:
        create_run_for_test(
            instance, job_name="refresh_ohlcv_1m", status=dg.DagsterRunStatus.STARTED
        )
        answer = self.evaluate(instance, OpenMarket())
        assert isinstance(answer, dg.SkipReason)
        assert "still going" in (answer.skip_message or "")

    def test_streams_that_have_just_started_are_not_judged_yet(
        self, instance: dg.DagsterInstance
    ) -> None:
        now = dt.datetime.now(dt.UTC)
        assert _settling(instance, now, now) is None
        create_run_for_test(
            instance,
            job_name="run_sink",
            status=dg.DagsterRunStatus.STARTED,
            tags={PROGRAM_TAG: "sink"},
        )
        assert _settling(instance, now, now) == "just started: run_sink"
        assert _settling(instance, now, now + dt.timedelta(seconds=59)) == "just started: run_sink"

    def test_a_tick_missed_while_dagster_was_down_judges_nothing(
        self, instance: dg.DagsterInstance
    ) -> None:
        now = dt.datetime.now(dt.UTC)
        assert "missed" in (_settling(instance, now - dt.timedelta(minutes=3), now) or "")

    def test_while_closed_nothing_is_refreshed(self, instance: dg.DagsterInstance) -> None:
        class Closed(Environment):
            def settings(self) -> Settings:
                return Settings.model_construct(market_calendar="NYSE")

        answer = self.evaluate(instance, Closed())
        assert isinstance(answer, dg.SkipReason)
        assert answer.skip_message == "closed; the next session opens at 2026-11-23 09:00 UTC"
