"""What the batch half does at fixed times: the day's load, the weekly sync of reference data.

Add a fixed time of Snowflake's tables here. Ticks that were missed while Dagster was down are not
made up for: the sensor `missing_days` finds the days.
"""

import dagster as dg

from polygon_assets.defs.batch import backlogs, decisions
from polygon_assets.defs.batch.decisions import Load
from polygon_assets.defs.batch.jobs import LOAD_DAYS, SYNC_REFERENCE
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import (
    ASKED_BY_TAG,
    SCHEDULED_FIRST,
    ScheduleAnswer,
    still_running,
)
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.required_settings import missing_settings, not_set

AFTER_EVERY_CLOSE = ["20,50 17-20 * * *", "20 0 * * *"]
"""A day ends at 17:00 after an early close, at 20:00 otherwise, and at midnight where the market
never closes; 15 min later it is final."""
SUNDAY_EVENING = "0 18 * * 0"


@dg.schedule(
    job=LOAD_DAYS,
    name="daily_batch",
    cron_schedule=AFTER_EVERY_CLOSE,
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Loads each trading day through Airbyte once it is final: 15 min after its "
    "extended close, early closes included.",
)
def daily_batch(context: dg.ScheduleEvaluationContext, environment: Environment) -> ScheduleAnswer:
    settings, calendar = environment.settings(), environment.calendar()
    scheduled = environment.clock().market(context.scheduled_execution_time)
    day = calendar.newest_settled_day(scheduled)
    backlog = backlogs.daily_batch_backlog(context.instance, settings, day)
    answer = decisions.daily_batch_due(backlog, calendar, scheduled)
    if not isinstance(answer, Load):
        return dg.SkipReason(answer.reason)
    return dg.RunRequest(
        partition_key=answer.days[0].isoformat(),
        tags={ASKED_BY_TAG: "daily_batch", **SCHEDULED_FIRST},
    )


@dg.schedule(
    job=SYNC_REFERENCE,
    name="reference_weekly",
    cron_schedule=SUNDAY_EVENING,
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Syncs the reference data before the week begins, whether or not the vendor "
    "reports a change.",
)
def reference_weekly(
    context: dg.ScheduleEvaluationContext, environment: Environment
) -> ScheduleAnswer:
    if missing := missing_settings(environment.settings(), "airbyte", "warehouse"):
        return dg.SkipReason(not_set(missing))
    if reason := still_running(context.instance, SYNC_REFERENCE.name):
        return dg.SkipReason(reason)
    return dg.RunRequest(tags={ASKED_BY_TAG: "reference_weekly", **SCHEDULED_FIRST})
