"""The batch half's schedules: what each requests, and why it skips.

Ticks of sensors belong to test_missing_days.py and test_reference_changed.py.
"""

import datetime as dt
import re
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dagster._core.test_utils import create_run_for_test

from polygon_assets.defs.batch.jobs import LOAD_DAYS, SYNC_REFERENCE
from polygon_assets.defs.batch.schedules import daily_batch, reference_weekly
from polygon_assets.defs.graph.pools import VENDOR_REQUESTS, pool_tag
from polygon_assets.defs.graph.resources import Environment
from polygon_assets_tests.unit.defs.batch.harness import CALENDAR, AllSet, load
from polygon_assets_tests.unit.defs.conftest import NothingSet

# Wednesday noon: the newest settled day is Tuesday.
NOON = dt.datetime(2026, 11, 18, 17, 0, tzinfo=dt.UTC)


class TestSchedules:
    @pytest.fixture
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """A schedule's context loads its instance again, which one in memory cannot be."""
        with dg.instance_for_test() as one:
            yield one

    def evaluate(
        self,
        schedule: dg.ScheduleDefinition,
        instance: dg.DagsterInstance,
        environment: Environment,
        now: dt.datetime = NOON,
    ) -> object:
        with dg.build_schedule_context(
            instance, scheduled_execution_time=now, resources={"environment": environment}
        ) as context:
            return schedule(context)

    def test_the_newest_final_day_is_loaded_once(self, instance: dg.DagsterInstance) -> None:
        answer = self.evaluate(daily_batch, instance, AllSet())
        assert isinstance(answer, dg.RunRequest)
        assert answer.partition_key == "2026-11-17"
        load(instance, CALENDAR.newest_settled_day(NOON))
        answer = self.evaluate(daily_batch, instance, AllSet())
        assert isinstance(answer, dg.SkipReason)
        assert "2026-11-17 is loaded; 2026-11-18 ends at 20:00 New York" in (
            answer.skip_message or ""
        )

    @pytest.mark.parametrize(
        ("schedule", "job", "tags"),
        [
            (daily_batch, LOAD_DAYS, {PARTITION_NAME_TAG: "2026-11-17"}),
            (
                daily_batch,
                LOAD_DAYS,
                {
                    ASSET_PARTITION_RANGE_START_TAG: "2026-11-12",
                    ASSET_PARTITION_RANGE_END_TAG: "2026-11-17",
                },
            ),
            (reference_weekly, SYNC_REFERENCE, {}),
        ],
    )
    def test_they_skip_while_nothing_is_set_or_the_same_is_under_way(
        self,
        instance: dg.DagsterInstance,
        schedule: dg.ScheduleDefinition,
        job: UnresolvedAssetJobDefinition,
        tags: dict[str, str],
    ) -> None:
        answer = self.evaluate(schedule, instance, NothingSet())
        assert isinstance(answer, dg.SkipReason)
        assert "not set: AIRBYTE_WORKSPACE_ID" in (answer.skip_message or "")
        create_run_for_test(
            instance,
            job.name,
            status=dg.DagsterRunStatus.STARTED,
            tags=pool_tag(VENDOR_REQUESTS) | tags,
        )
        answer = self.evaluate(schedule, instance, AllSet())
        assert isinstance(answer, dg.SkipReason)
        assert re.search("is under way|still going", answer.skip_message or "")

    @pytest.mark.parametrize("schedule", [daily_batch, reference_weekly])
    def test_behind_whatever_else_is_under_way_they_are_next(
        self, instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition
    ) -> None:
        days = {
            ASSET_PARTITION_RANGE_START_TAG: "2026-10-20",
            ASSET_PARTITION_RANGE_END_TAG: "2026-11-16",
        }
        create_run_for_test(
            instance,
            LOAD_DAYS.name,
            status=dg.DagsterRunStatus.STARTED,
            tags=pool_tag(VENDOR_REQUESTS) | days,
        )
        create_run_for_test(
            instance, status=dg.DagsterRunStatus.STARTED, tags=pool_tag(VENDOR_REQUESTS)
        )
        answer = self.evaluate(schedule, instance, AllSet())
        assert isinstance(answer, dg.RunRequest)
        assert int(answer.tags["dagster/priority"]) > 0
