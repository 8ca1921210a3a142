"""Ticks of `missing_days`: which days it requests, in which order, and why it waits or skips.

Other sensors belong to their own files (test_reference_changed.py), schedules to test_schedules.py,
the pure decisions to test_decisions.py.
"""

import datetime as dt
import json

import dagster as dg
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from dagster._core.test_utils import create_run_for_test

from polygon_assets.definitions import build_defs
from polygon_assets.defs.batch import backlogs, decisions
from polygon_assets.defs.batch.decisions import settled_days
from polygon_assets.defs.batch.jobs import BUILD_FACTS, COMPARE_DAYS, LOAD_DAYS, SYNC_REFERENCE
from polygon_assets.defs.batch.sensors import missing_days, reference_changed
from polygon_assets.defs.graph.keys import (
    DAILY_OPEN_CLOSE,
    FACT_DAILY_TRADING,
    GROUPED_DAILY,
    STOCK_AGGREGATES,
    STREAM_VS_BATCH,
    SUBSCRIPTIONS,
    TICKERS,
)
from polygon_assets.defs.graph.materializations import materialized_at
from polygon_assets.defs.graph.pools import VENDOR_REQUESTS, mart_pool, pool_tag
from polygon_assets.defs.graph.runs import ASKED_BY_TAG
from polygon_assets_tests.unit.defs.batch.harness import (
    ALL_SET,
    CALENDAR,
    AllSet,
    load,
    materialize,
)
from polygon_assets_tests.unit.defs.conftest import NothingSet
from polygon_assets_tests.unit.defs.ticks import reason, requests, tick


@pytest.fixture
def history() -> list[dt.date]:
    """The days that should be loaded now."""
    days = settled_days(CALENDAR, dt.datetime.now(dt.UTC), 5)
    assert len(days) == 5
    return days


@pytest.fixture(autouse=True)
def nothing_is_left_to_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "left_to_the_schedule", lambda *_: False)


def range_of(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags[ASSET_PARTITION_RANGE_START_TAG], request.tags[
        ASSET_PARTITION_RANGE_END_TAG
    ]


def test_a_first_history_waits_for_the_symbols_and_the_reference_data_but_not_for_ever(
    instance: dg.DagsterInstance,
) -> None:
    assert "first comes s3/subscriptions" in reason(tick(missing_days, instance, AllSet()))
    materialize(instance, SUBSCRIPTIONS)
    assert "first comes the reference data" in reason(tick(missing_days, instance, AllSet()))
    create_run_for_test(instance, SYNC_REFERENCE.name, status=dg.DagsterRunStatus.FAILURE)
    assert requests(tick(missing_days, instance, AllSet()))


class TestMissingDays:
    @pytest.fixture(autouse=True)
    def what_comes_first_is_there(self, instance: dg.DagsterInstance) -> None:
        materialize(instance, SUBSCRIPTIONS)
        materialize(instance, TICKERS)

    def test_an_empty_history_is_one_range_that_is_asked_for_once(
        self, instance: dg.DagsterInstance, history: list[dt.date]
    ) -> None:
        [request] = requests(tick(missing_days, instance, AllSet()))
        assert range_of(request) == (str(history[0]), str(history[-1]))
        assert (request.job_name, request.tags[ASKED_BY_TAG]) == (LOAD_DAYS.name, "missing_days")
        again = requests(tick(missing_days, instance, AllSet()))
        assert [each.run_key for each in again] == [request.run_key]

    def test_days_that_a_failed_run_had_loaded_are_not_asked_for_again(
        self, instance: dg.DagsterInstance, history: list[dt.date]
    ) -> None:
        load(instance, *history[3:])
        [request] = requests(tick(missing_days, instance, AllSet()))
        assert range_of(request) == (str(history[0]), str(history[2]))

    def test_a_day_of_which_one_table_is_missing_is_missing(
        self, instance: dg.DagsterInstance, history: list[dt.date]
    ) -> None:
        materialize(instance, GROUPED_DAILY, *history)
        materialize(instance, DAILY_OPEN_CLOSE, *history[1:])
        [request] = requests(tick(missing_days, instance, AllSet()))
        assert range_of(request) == (str(history[0]), str(history[0]))

    def test_whoever_uses_the_vendors_requests_now_is_waited_for(
        self, instance: dg.DagsterInstance
    ) -> None:
        run = create_run_for_test(
            instance, status=dg.DagsterRunStatus.STARTED, tags=pool_tag(VENDOR_REQUESTS)
        )
        assert f"run {run.run_id[:8]} is under way" in reason(
            tick(missing_days, instance, AllSet())
        )

    def test_the_run_before_is_part_of_the_key(self, instance: dg.DagsterInstance) -> None:
        tags = {ASKED_BY_TAG: "missing_days"}
        run = create_run_for_test(
            instance, LOAD_DAYS.name, status=dg.DagsterRunStatus.SUCCESS, tags=tags
        )
        [request] = requests(tick(missing_days, instance, AllSet()))
        assert request.run_key is not None
        assert request.run_key.endswith(run.run_id)

    def test_after_a_failure_it_pauses(self, instance: dg.DagsterInstance) -> None:
        create_run_for_test(
            instance,
            LOAD_DAYS.name,
            status=dg.DagsterRunStatus.FAILURE,
            tags={ASKED_BY_TAG: "missing_days"},
        )
        assert "next try at" in reason(tick(missing_days, instance, AllSet()))

    def test_the_cursor_counts_the_tries_of_a_day_so_that_an_older_one_goes_first_in_the_end(
        self, instance: dg.DagsterInstance, history: list[dt.date]
    ) -> None:
        load(instance, *history[1:4])
        cursor, requested = None, []
        for _ in range(4):
            answer = tick(missing_days, instance, AllSet(), cursor)
            assert isinstance(answer, dg.SensorResult)
            requested += [range_of(request)[1] for request in requests(answer)]
            cursor = answer.cursor
        assert requested == [str(history[4])] * 3 + [str(history[0])]
        assert json.loads(cursor or "")[LOAD_DAYS.name] == {str(history[4]): 3, str(history[0]): 1}
        load(instance, history[4], history[0])
        answer = tick(missing_days, instance, AllSet(), cursor)
        assert isinstance(answer, dg.SensorResult)
        assert json.loads(answer.cursor or "")[LOAD_DAYS.name] == {}

    def test_facts_are_left_to_automation_at_first(
        self, instance: dg.DagsterInstance, history: list[dt.date]
    ) -> None:
        load(instance, *history)
        assert "build_facts: none is missing of 5" in reason(tick(missing_days, instance, AllSet()))

    def test_a_fact_that_automation_did_not_build_is_asked_for(
        self, instance: dg.DagsterInstance, history: list[dt.date], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backlogs, "AUTOMATIONS_TURN", dt.timedelta())
        load(instance, *history)
        materialize(instance, FACT_DAILY_TRADING, history[0], *history[3:])
        [request] = requests(tick(missing_days, instance, AllSet()))
        assert (request.job_name, range_of(request)) == (
            BUILD_FACTS.name,
            (str(history[1]), str(history[2])),
        )
        create_run_for_test(
            instance,
            status=dg.DagsterRunStatus.STARTED,
            tags=pool_tag(mart_pool("fact_daily_trading")),
        )
        assert "build_facts: 2 missing; run" in reason(tick(missing_days, instance, AllSet()))

    def test_a_fact_that_is_older_than_its_load_is_asked_for(
        self, instance: dg.DagsterInstance, history: list[dt.date], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load(instance, *history)
        materialize(instance, FACT_DAILY_TRADING, *history)
        materialize(instance, DAILY_OPEN_CLOSE, history[2])
        assert "build_facts: none is missing of 5" in reason(tick(missing_days, instance, AllSet()))
        monkeypatch.setattr(backlogs, "AUTOMATIONS_TURN", dt.timedelta())
        [request] = requests(tick(missing_days, instance, AllSet()))
        assert (request.job_name, range_of(request)) == (
            BUILD_FACTS.name,
            (str(history[2]), str(history[2])),
        )

    def test_a_closed_day_that_was_not_compared_since_is_asked_for_one_day_at_a_time(
        self, instance: dg.DagsterInstance, history: list[dt.date], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load(instance, *history)
        materialize(instance, FACT_DAILY_TRADING, *history)
        materialize(instance, STOCK_AGGREGATES, *history[1:4])
        assert "compare_days: none is missing of 7" in reason(
            tick(missing_days, instance, AllSet())
        )
        monkeypatch.setattr(backlogs, "AUTOMATIONS_TURN", dt.timedelta())
        requested = []
        for _ in range(3):
            [request] = requests(tick(missing_days, instance, AllSet()))
            assert request.job_name == COMPARE_DAYS.name
            assert len({*range_of(request)}) == 1
            day = dt.date.fromisoformat(range_of(request)[0])
            materialize(instance, STREAM_VS_BATCH, day)
            requested.append(day)
        assert requested == history[3:0:-1]
        assert "compare_days: none is missing of 7" in reason(
            tick(missing_days, instance, AllSet())
        )
        materialize(instance, FACT_DAILY_TRADING, history[1])
        assert range_of(requests(tick(missing_days, instance, AllSet()))[0])[0] == str(history[1])

    def test_days_are_not_compared_with_facts_whose_check_failed(
        self, instance: dg.DagsterInstance, history: list[dt.date], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backlogs, "AUTOMATIONS_TURN", dt.timedelta())
        load(instance, *history)
        materialize(instance, FACT_DAILY_TRADING, *history)
        materialize(instance, STOCK_AGGREGATES, history[-1])
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(FACT_DAILY_TRADING, "keys_are_unique", False, {})
        )
        assert "compare_days: 1 missing; first comes `keys_are_unique` of" in reason(
            tick(missing_days, instance, AllSet())
        )

    def test_when_all_is_there_or_nothing_is_set_it_says_so(
        self, instance: dg.DagsterInstance, history: list[dt.date]
    ) -> None:
        assert "not set: POLYGON_API_KEY, SNOWFLAKE_ACCOUNT" in reason(
            tick(missing_days, instance, NothingSet())
        )
        load(instance, *history)
        assert "load_days: none is missing of 5" in reason(tick(missing_days, instance, AllSet()))


def test_a_run_whose_process_is_gone_gives_its_pool_back(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "LONGEST_SILENCE", dt.timedelta())
    # As Dagster makes it: its pool is not among the tags that the run itself carries.
    pooled = build_defs(ALL_SET).resolve_job_def(SYNC_REFERENCE.name)
    gone, ended = (
        instance.create_run_for_job(pooled, status=status)
        for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)
    )
    other = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
    assert f"run {gone.run_id[:8]} is under way" in reason(
        tick(reference_changed, instance, AllSet())
    )
    tick(missing_days, instance, AllSet())
    statuses = [
        run.status for one in (gone, other, ended) if (run := instance.get_run_by_id(one.run_id))
    ]
    assert statuses == [
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.SUCCESS,
    ]
    assert "its process is gone" in str(instance.all_logs(gone.run_id)[-1].message)


def test_of_years_of_days_it_is_known_when_they_were_loaded(instance: dg.DagsterInstance) -> None:
    days = list(CALENDAR.trading_days(dt.date(2026, 1, 2), dt.date(2030, 1, 31)))
    assert len(days) > 1_000
    load(instance, days[0], days[-1])
    assert materialized_at(instance, GROUPED_DAILY, days).keys() == {days[0], days[-1]}
