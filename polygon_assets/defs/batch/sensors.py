"""What keeps the batch half complete: days that are missing are asked for, and changed reference data is synced.

Like `sensors`: gather facts, ask `decisions`, act on the answer.
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
from polygon_assets.defs.batch.decisions import Load, Tries
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.decisions import Free, Wait
from polygon_assets.defs.stream.jobs import (
    ASKED_BY_TAG,
    BUILD_FACTS,
    COMPARE_DAYS,
    LOAD_DAYS,
    SYNC_REFERENCE,
)

MISSING_DAYS, REFERENCE_CHANGED = "missing_days", "reference_changed"
BACKLOGS = {
    LOAD_DAYS.name: backlogs.loads,
    BUILD_FACTS.name: backlogs.facts,
    COMPARE_DAYS.name: backlogs.comparisons,
}
"""By the job that works it off."""


@dg.sensor(
    name=MISSING_DAYS,
    jobs=[LOAD_DAYS, BUILD_FACTS, COMPARE_DAYS],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the trading days of the last DAILY_HISTORY_DAYS that are not loaded, newest first, one range at a time and with "
    "pauses after failures; and for facts and comparisons that automation did not make. The newest day is left to "
    "`daily_batch` until midnight New York. Its cursor counts how often a run began with a day that is still missing. "
    "Reports runs as failed whose process is gone, because they would hold their pool.",
)
def missing_days(context: dg.SensorEvaluationContext, environment: Environment) -> dg.SensorResult:
    settings, calendar, clock, now = (
        environment.settings(),
        environment.calendar(),
        environment.clock(),
        dt.datetime.now(dt.UTC),
    )
    for silent in decisions.silent_runs(backlogs.running_in_pools(context.instance), now):
        _free(context, silent)
    tries = _tries(context.cursor)
    requests, reasons, remembered = [], [], {}
    for job, gather in BACKLOGS.items():
        backlog, before = (
            gather(context.instance, settings, calendar, now, clock),
            tries.get(job, {}),
        )
        answer = decisions.missing_days(backlog, before, now)
        remembered[job] = decisions.count_attempt(backlog, before, answer)
        reasons.append(f"{job}: {answer.reason}")
        if isinstance(answer, Load):
            requests.append(_range_request(job, answer))
    message = "; ".join(reasons)
    context.log.info(message)
    return dg.SensorResult(
        run_requests=requests, cursor=_cursor(remembered), skip_reason=None if requests else message
    )


@dg.sensor(
    name=REFERENCE_CHANGED,
    job=SYNC_REFERENCE,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the vendor once an hour for its newest change of a ticker, and syncs the reference data when that is later than the "
    "newest change of the last sync; at once when it was never synced.",
)
def reference_changed(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    from polygon_assets.clients.polygon import PolygonApiError

    settings, now = environment.settings(), dt.datetime.now(dt.UTC)
    looked_at = _looked_at(context.cursor)
    facts = backlogs.reference(context.instance, settings, looked_at)
    answer = decisions.reference_look_due(facts, now)
    if answer is None:
        # Written down whatever comes of it: a vendor that refuses is not asked again every minute either.
        looked_at = now
        try:
            answer = decisions.reference_changed(facts, backlogs.newest_change_at_vendor(settings))
        except PolygonApiError as error:
            answer = Wait(f"the vendor cannot be asked: {error}")
    requests = [_reference_request(answer)] if isinstance(answer, Load) else []
    cursor = json.dumps({"looked_at": looked_at.isoformat()}) if looked_at else None
    return dg.SensorResult(
        run_requests=requests, cursor=cursor, skip_reason=None if requests else answer.reason
    )


def _free(context: dg.SensorEvaluationContext, silent: Free) -> None:
    run = context.instance.get_run_by_id(silent.run_id)
    if run and not run.is_finished:
        context.instance.report_run_failed(run, message=f"{MISSING_DAYS}: {silent.reason}")
        context.log.warning("freed run %s: %s", silent.run_id, silent.reason)


def _tries(cursor: str | None) -> Mapping[str, Tries]:
    """By job."""
    counts = json.loads(cursor or "{}")
    return {
        job: {dt.date.fromisoformat(day): count for day, count in days.items()}
        for job, days in counts.items()
    }


def _cursor(tries: Mapping[str, Tries]) -> str:
    return json.dumps(
        {
            job: {day.isoformat(): count for day, count in days.items()}
            for job, days in tries.items()
        }
    )


def _looked_at(cursor: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(json.loads(cursor)["looked_at"]) if cursor else None


def _range_request(job: str, load: Load) -> dg.RunRequest:
    """One run for all the days: there is no public request for a backfill, and these two tags are what one is made of."""
    first, last = load.days[0].isoformat(), load.days[-1].isoformat()
    return dg.RunRequest(
        job_name=job,
        # The run before it is part of the key: the same days may be asked for again, but never twice by ticks that see the same runs.
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
