"""The jobs: one long run per stream program, the checks, and loads and tables of a day. When each runs: see schedules and sensors.

A program's op supervises it in the run's own process, because a step process between them would survive the run.
"""

import datetime as dt

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import PRIORITY_TAG

from polygon_assets.clients.market_clock import MarketClockError
from polygon_assets.defs.graph.dagster_processes import dagster_ancestors, is_intact
from polygon_assets.defs.graph.keys import (
    DAILY_OPEN_CLOSE,
    FACT_DAILY_TRADING,
    GROUPED_DAILY,
    OHLCV_1M,
    REFERENCE_TABLES,
    STREAM_GAPS,
    STREAM_VS_BATCH,
    SUBSCRIPTIONS,
)
from polygon_assets.defs.graph.resources import Environment, StreamPrograms
from polygon_assets.defs.stream import decisions
from polygon_assets.defs.stream.heartbeat_events import EventReporter
from polygon_assets.defs.stream.supervision import (
    Interruption,
    Limits,
    Listener,
    ProgramKeepsFailingError,
    ProgramNotDrainedError,
    ProgramRefusedError,
    Supervision,
    die_with_parent,
)
from polygon_assets.messages import Heartbeat

PROGRAMS = ("producer", "filter", "sink")
PROGRAM_TAG = "polygon/program"
SESSION_TAG = "polygon/session"
ATTEMPT_TAG = "polygon/attempt"
NEEDS_HUMAN_TAG = "polygon/needs_human"
ETAG_TAG = "polygon/etag"
VALIDATION_TAG = "polygon/validation"
ASKED_BY_TAG = "polygon/asked_by"
SCHEDULED_FIRST = {PRIORITY_TAG: "10"}
"""What is due at a fixed time is next in the queue, before a history that fills its pool for days."""
KILL_MARGIN_SECONDS = 5.0
_DOES = {
    "producer": "receives the feed and writes `kafka/polygon_stream_aggregates`",
    "filter": "writes valid subscribed aggregates to `kafka/custom_filtered_stock_data_topic`, others to `kafka/polygon_dead_letters`",
    "sink": "loads `kafka/custom_filtered_stock_data_topic` into `clickhouse/stock_aggregates`",
}


def stream_job_name(program: str) -> str:
    return f"run_{program}"


def stream_job(program: str) -> dg.JobDefinition:
    """The job that keeps one program running for a session."""

    @dg.op(
        name=f"supervise_{program}",
        description=f"Keeps the {program} running: it {_DOES[program]}.",
    )
    def supervise(
        context: dg.OpExecutionContext, environment: Environment, programs: StreamPrograms
    ) -> None:
        _keep_running(context, program, environment, programs)

    @dg.job(
        name=stream_job_name(program),
        description=f"The {program}, which {_DOES[program]}. It runs until the session ends, is started again within the run when it "
        "ends or hangs, and its own log is the run's. `stream_supervisor` launches it; after a cancel it stays down until the next "
        "session or a launch by hand.",
        # The supervising sensor is the one owner of new runs; two owners would start two copies.
        tags={PROGRAM_TAG: program, "dagster/max_retries": "0"},
    )
    def run() -> None:
        supervise()

    return run


def _keep_running(
    context: dg.OpExecutionContext, program: str, environment: Environment, programs: StreamPrograms
) -> None:
    die_with_parent()
    settings = environment.settings()
    until, above = (
        decisions.streams_until(
            environment.calendar(), environment.clock().market(dt.datetime.now(dt.UTC))
        ),
        dagster_ancestors(),
    )
    context.log.info(
        "%s until %s", program, f"{until:%Y-%m-%d %H:%M} UTC" if until else "it is stopped"
    )

    def is_finished(heartbeat: Heartbeat | None) -> bool:
        if interruption.came or not is_intact(above):
            return True
        return decisions.is_finished(
            program, heartbeat, _on_the_wall(environment, until), dt.datetime.now(dt.UTC)
        )

    with Interruption() as interruption, Listener(settings, program) as listener:
        supervision = Supervision(
            programs.command_for(program),
            listener,
            EventReporter(program, context.log_event, context.log.info, lambda: listener.fault),
            is_finished,
            Limits(grace_seconds=settings.drain_seconds + KILL_MARGIN_SECONDS),
        )
        try:
            supervision.run()
        except ProgramRefusedError as error:
            context.instance.add_run_tags(context.run_id, {NEEDS_HUMAN_TAG: "true"})
            raise dg.Failure(f"{program}: {error}", allow_retries=False) from error
        except (ProgramKeepsFailingError, ProgramNotDrainedError) as error:
            raise dg.Failure(f"{program}: {error}", allow_retries=False) from error


def _on_the_wall(environment: Environment, until: dt.datetime | None) -> dt.datetime | None:
    """Asked for each time: when a replay gets there is not known before it has begun. None also where nobody knows."""
    try:
        return environment.clock().wall(until) if until else None
    except MarketClockError:
        return None


STREAM_JOBS = tuple(stream_job(program) for program in PROGRAMS)


def stream_checks(checks: list[dg.AssetChecksDefinition]) -> UnresolvedAssetJobDefinition:
    """Judge the running streams by what is in Kafka and ClickHouse."""
    return dg.define_asset_job(
        "stream_checks",
        selection=dg.AssetSelection.checks(*checks) | dg.AssetSelection.assets(STREAM_GAPS),
        description="Judges the running streams: lag, freshness, confirmed channels, clocks, dead letters, the account of events, and "
        "that processed messages are rows. Copies the gap ledger to ClickHouse.",
    )


VALIDATE_SUBSCRIPTIONS = dg.define_asset_job(
    "validate_subscriptions",
    selection=dg.AssetSelection.assets(SUBSCRIPTIONS),
    description="Validates the subscription CSV and puts it in force if every line is valid.",
    # dagster.yaml lets one of them run at a time, so that the last to publish is the last to have read.
    tags={VALIDATION_TAG: "subscriptions"},
)
REFRESH_OHLCV_1M = dg.define_asset_job(
    "refresh_ohlcv_1m",
    selection=dg.AssetSelection.assets(OHLCV_1M),
    description="Computes the one-minute bars of a trading day again; repeating it replaces them.",
)
SYNC_REFERENCE = dg.define_asset_job(
    "sync_reference",
    selection=dg.AssetSelection.assets(*REFERENCE_TABLES),
    description="Syncs the reference data through Airbyte; the marts follow by themselves.",
)
LOAD_DAYS = dg.define_asset_job(
    "load_days",
    selection=dg.AssetSelection.assets(GROUPED_DAILY, DAILY_OPEN_CLOSE),
    description="Loads trading days: the newest one by an Airbyte sync, past ones by REST; the marts follow by themselves.",
)
BUILD_FACTS = dg.define_asset_job(
    "build_facts",
    selection=dg.AssetSelection.assets(FACT_DAILY_TRADING),
    description="Builds trading days of the fact table again, where automation did not succeed; repeating it replaces them.",
)
COMPARE_DAYS = dg.define_asset_job(
    "compare_days",
    selection=dg.AssetSelection.assets(STREAM_VS_BATCH),
    description="Compares a closed trading day with the vendor's bars again, where automation did not succeed; repeating it replaces it.",
)
