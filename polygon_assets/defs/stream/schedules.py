"""What happens at fixed times while the market is open: the streams' checks and the minute bars.

Add a fixed time of the live data here; reactions to events belong to `sensors`.
"""

import datetime as dt

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import ACTIVE, ScheduleAnswer, still_running
from polygon_assets.defs.stream.jobs import PROGRAM_TAG, REFRESH_OHLCV_1M
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.required_settings import not_set
from polygon_assets.settings import Settings

SETTLING = dt.timedelta(seconds=60)
"""From the launch of a run to a program that has caught up: 20 s on an idle machine."""


def checks_schedule(job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """The stream checks, every five minutes while open."""

    @dg.schedule(
        job=job,
        name="stream_checks_while_open",
        cron_schedule="2-59/5 * * * *",
        execution_timezone=NEW_YORK.key,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Runs the checks of the streams every five minutes while the market is open.",
    )
    def every_five_minutes(
        context: dg.ScheduleEvaluationContext, environment: Environment
    ) -> ScheduleAnswer:
        scheduled = context.scheduled_execution_time
        moment = environment.clock().market(scheduled)
        reason = (
            _not_now(environment.settings(), environment.calendar(), moment)
            or still_running(context.instance, job.name)
            or _settling(context.instance, scheduled, dt.datetime.now(dt.UTC))
        )
        return dg.SkipReason(reason) if reason else dg.RunRequest()

    return every_five_minutes


@dg.schedule(
    job=REFRESH_OHLCV_1M,
    name="ohlcv_1m_while_open",
    cron_schedule="*/5 * * * *",
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Refreshes today's one-minute bars every five minutes while the market is open.",
)
def ohlcv_1m_while_open(
    context: dg.ScheduleEvaluationContext, environment: Environment
) -> ScheduleAnswer:
    calendar = environment.calendar()
    moment = environment.clock().market(context.scheduled_execution_time)
    reason = _not_now(environment.settings(), calendar, moment) or still_running(
        context.instance, REFRESH_OHLCV_1M.name
    )
    if reason:
        return dg.SkipReason(reason)
    return dg.RunRequest(partition_key=calendar.day_of(moment).isoformat())


def _not_now(settings: Settings, calendar: MarketCalendar, now: dt.datetime) -> str | None:
    if not calendar.is_open(now):
        opens = calendar.next_session(now).extended_open
        return f"closed; the next session opens at {opens:%Y-%m-%d %H:%M} UTC"
    return None if settings.clickhouse_host else not_set(["CLICKHOUSE_HOST"])


def _settling(instance: dg.DagsterInstance, scheduled: dt.datetime, now: dt.datetime) -> str | None:
    """Why the streams cannot be judged yet: a program that has just started has not caught up."""
    if now - scheduled > SETTLING:
        return "this tick was missed while Dagster was down"
    run_filter = dg.RunsFilter(statuses=list(ACTIVE), created_after=now - SETTLING)
    runs = [record.dagster_run for record in instance.get_run_records(run_filter)]
    young = sorted(run.job_name for run in runs if PROGRAM_TAG in run.tags)
    return f"just started: {', '.join(young)}" if young else None
