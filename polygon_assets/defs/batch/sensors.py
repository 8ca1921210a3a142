"""What keeps the batch half complete: missing days are requested, changed reference data synced.

Add a sensor of Snowflake's tables here: it gathers facts with `backlogs`, asks `decisions`, and
acts on the answer.
"""

import datetime as dt
import json
from collections.abc import Mapping

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from polygon_assets.defs.batch import backlogs, decisions
from polygon_assets.defs.batch.backlogs import MISSING_DAYS
from polygon_assets.defs.batch.decisions import Attempts, Load
from polygon_assets.defs.batch.jobs import BUILD_FACTS, COMPARE_DAYS, LOAD_DAYS, SYNC_REFERENCE
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import ASKED_BY_TAG, Wait, fail_orphaned_run

REFERENCE_CHANGED = "reference_changed"
BACKLOGS = {
    LOAD_DAYS.name: backlogs.load_backlog,
    BUILD_FACTS.name: backlogs.fact_table_backlog,
    COMPARE_DAYS.name: backlogs.comparison_backlog,
}
"""By the job that works the backlog off."""


@dg.sensor(
    name=MISSING_DAYS,
    jobs=[LOAD_DAYS, BUILD_FACTS, COMPARE_DAYS],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the trading days of the last DAILY_HISTORY_DAYS that are not loaded, "
    "newest first, one range at a time and with pauses after failures; also facts and comparisons "
    "that automation left out. The newest day is left to `daily_batch` until midnight New York. "
    "The cursor counts how often a run began with a day that is still missing. Reports runs as "
    "failed whose process is gone, because they would hold their pool.",
)
def missing_days(context: dg.SensorEvaluationContext, environment: Environment) -> dg.SensorResult:
    settings, calendar = environment.settings(), environment.calendar()
    clock, now = environment.clock(), dt.datetime.now(dt.UTC)
    for orphan in decisions.orphaned_runs(backlogs.running_in_pools(context.instance), now):
        fail_orphaned_run(context, MISSING_DAYS, orphan)
    attempts = _attempts(context.cursor)
    requests, reasons, remembered = [], [], {}
    for job, backlog_of in BACKLOGS.items():
        backlog = backlog_of(context.instance, settings, calendar, now, clock)
        before = attempts.get(job, {})
        answer = decisions.missing_days(backlog, before, now)
        remembered[job] = decisions.count_attempt(backlog, before, answer)
        reasons.append(f"{job}: {answer.reason}")
        if isinstance(answer, Load):
            requests.append(_range_request(job, answer))
    message = "; ".join(reasons)
    context.log.info(message)
    return dg.SensorResult(
        run_requests=requests,
        cursor=_cursor(remembered),
        skip_reason=None if requests else message,
    )


@dg.sensor(
    name=REFERENCE_CHANGED,
    job=SYNC_REFERENCE,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the vendor once an hour for its newest change of a ticker, and syncs the "
    "reference data when that is later than the newest change of the last sync; at once when the "
    "data was never synced.",
)
def reference_changed(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    from polygon_assets.clients.polygon_answers import PolygonApiError

    settings, now = environment.settings(), dt.datetime.now(dt.UTC)
    asked_vendor_at = _asked_vendor_at(context.cursor)
    facts = backlogs.reference_facts(context.instance, settings, asked_vendor_at)
    answer = decisions.reference_load_due(facts, now)
    if answer is None:
        # Remembered whatever the answer is: a vendor that refuses is not asked every minute.
        asked_vendor_at = now
        try:
            newest_change = backlogs.newest_change_at_vendor(settings)
            answer = decisions.reference_changed(facts, newest_change)
        except PolygonApiError as error:
            answer = Wait(f"the vendor cannot be asked: {error}")
    requests = [_reference_request(answer)] if isinstance(answer, Load) else []
    cursor = (
        json.dumps({"asked_vendor_at": asked_vendor_at.isoformat()}) if asked_vendor_at else None
    )
    skip_reason = None if requests else answer.reason
    return dg.SensorResult(run_requests=requests, cursor=cursor, skip_reason=skip_reason)


def _attempts(cursor: str | None) -> Mapping[str, Attempts]:
    """By job."""
    counts = json.loads(cursor or "{}")
    return {
        job: {dt.date.fromisoformat(day): count for day, count in days.items()}
        for job, days in counts.items()
    }


def _cursor(attempts: Mapping[str, Attempts]) -> str:
    counts = {
        job: {day.isoformat(): count for day, count in days.items()}
        for job, days in attempts.items()
    }
    return json.dumps(counts)


def _asked_vendor_at(cursor: str | None) -> dt.datetime | None:
    known = json.loads(cursor or "{}").get("asked_vendor_at")
    return dt.datetime.fromisoformat(known) if known else None


def _range_request(job: str, load: Load) -> dg.RunRequest:
    """One run for all the days: a sensor cannot request a backfill, and two tags make a range."""
    first, last = load.days[0].isoformat(), load.days[-1].isoformat()
    return dg.RunRequest(
        job_name=job,
        # The key names the run before: the same days may be requested again, but only once by
        # ticks that see the same runs.
        run_key=f"{MISSING_DAYS}:{job}:{first}:{last}:{load.after}",
        tags={
            ASSET_PARTITION_RANGE_START_TAG: first,
            ASSET_PARTITION_RANGE_END_TAG: last,
            ASKED_BY_TAG: MISSING_DAYS,
        },
    )


def _reference_request(load: Load) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{REFERENCE_CHANGED}:{load.after}:{load.reason}",
        tags={ASKED_BY_TAG: REFERENCE_CHANGED},
    )


BATCH_SENSORS = (missing_days, reference_changed)
