"""What happens at fixed times while the market is open. What must react to events is in sensors."""

import datetime as dt

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.decisions import ACTIVE
from polygon_assets.defs.stream.jobs import PROGRAM_TAG, REFRESH_OHLCV_1M
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.settings import Settings

SETTLING = dt.timedelta(seconds=60)
"""From the launch of a run to a program that has caught up: 20 s on an idle machine."""
Answer = dg.RunRequest | dg.SkipReason


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
    ) -> Answer:
        scheduled = context.scheduled_execution_time
        reason = (
            _not_now(
                environment.settings(),
                environment.calendar(),
                environment.clock().market(scheduled),
            )
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
def ohlcv_1m_while_open(context: dg.ScheduleEvaluationContext, environment: Environment) -> Answer:
    calendar, moment = (
        environment.calendar(),
        environment.clock().market(context.scheduled_execution_time),
    )
    reason = _not_now(environment.settings(), calendar, moment) or still_running(
        context.instance, REFRESH_OHLCV_1M.name
    )
    return (
        dg.SkipReason(reason)
        if reason
        else dg.RunRequest(partition_key=calendar.day_of(moment).isoformat())
    )


def _not_now(settings: Settings, calendar: MarketCalendar, now: dt.datetime) -> str | None:
    if not calendar.is_open(now):
        return f"closed; the next session opens at {calendar.next_session(now).extended_open:%Y-%m-%d %H:%M} UTC"
    return None if settings.clickhouse_host else "CLICKHOUSE_HOST is not set"


def _settling(instance: dg.DagsterInstance, scheduled: dt.datetime, now: dt.datetime) -> str | None:
    """Streams that are just coming up would be judged by what they have not done yet."""
    if now - scheduled > SETTLING:
        return "this tick was missed while Dagster was down"
    which = dg.RunsFilter(statuses=list(ACTIVE), created_after=now - SETTLING)
    young = [
        record.dagster_run.job_name
        for record in instance.get_run_records(which)
        if PROGRAM_TAG in record.dagster_run.tags
    ]
    return f"just started: {', '.join(sorted(young))}" if young else None


def still_running(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """A slow machine must not pile up runs."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=list(ACTIVE)), limit=1)
    return f"run {runs[0].run_id[:8]} is still going" if runs else None
