"""The jobs of the stream half: one long run per program, the checks, the CSV, one-minute bars.

Add a job of the live data here; when it runs belongs to `schedules` and `sensors`. A program's op
supervises it in the run's own process, because a step process between them would survive the run.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from polygon_assets.child_processes import die_with_parent
from polygon_assets.clients.ecs import EcsRefusedError, EcsUnreachableError
from polygon_assets.clients.market_clock import MarketClockError
from polygon_assets.defs.graph.dagster_processes import dagster_ancestors, is_intact
from polygon_assets.defs.graph.keys import (
    DEAD_LETTER_TABLE,
    OHLCV_1M,
    STREAM_GAPS,
    SUBSCRIPTIONS,
    TOP_MOVERS_10S,
)
from polygon_assets.defs.graph.resources import Environment, StreamPrograms
from polygon_assets.defs.graph.runs import NEEDS_HUMAN_TAG
from polygon_assets.defs.stream import decisions
from polygon_assets.defs.stream.heartbeat_events import EventReporter
from polygon_assets.defs.stream.heartbeat_listener import HeartbeatListener
from polygon_assets.defs.stream.heartbeat_recorder import HeartbeatRecorder
from polygon_assets.defs.stream.interruption import Interruption
from polygon_assets.defs.stream.runners import runner_for
from polygon_assets.defs.stream.supervision import (
    Limits,
    ProgramKeepsFailingError,
    ProgramNotDrainedError,
    ProgramRefusedError,
    Supervision,
)
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.settings import Settings

PROGRAM_TAG = "polygon/program"
SESSION_TAG = "polygon/session"
ATTEMPT_TAG = "polygon/attempt"
ETAG_TAG = "polygon/etag"
VALIDATION_TAG = "polygon/validation"
CANCELLED = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})
KILL_MARGIN_SECONDS = 5.0
"""From the end of a program's own draining to SIGKILL."""
LEAVE_SECONDS = 10.0
"""Before it drains, one of several producers waits at most this long for the end of a rebalance."""
_DOES = {
    "producer": "receives the feed and writes `kafka/polygon_stream_aggregates`",
    "filter": "writes valid subscribed aggregates to `kafka/custom_filtered_stock_data_topic`, "
    "others to `kafka/polygon_dead_letters`",
    "sink": "loads `kafka/custom_filtered_stock_data_topic` into `clickhouse/stock_aggregates`, "
    "and dead letters into `clickhouse/dead_letters`",
    "archiver": "copies `kafka/polygon_stream_aggregates` to `s3/raw_archive`",
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
        description=f"Supervises the {program}, which {_DOES[program]}. The run lasts until the "
        "session ends and restarts the program when it ends or hangs; the program's log is the "
        "run's. `stream_supervisor` launches the run. After a cancel the program stays down until "
        "the next session, or until somebody launches this job.",
        # The supervising sensor is the one owner of new runs; two owners would start two copies.
        tags={PROGRAM_TAG: program, "dagster/max_retries": "0"},
    )
    def run() -> None:
        supervise()

    return run


def _keep_running(
    context: dg.OpExecutionContext,
    program: str,
    environment: Environment,
    programs: StreamPrograms,
) -> None:
    die_with_parent()
    settings, ancestors = environment.settings(), dagster_ancestors()
    market_now = environment.clock().market(dt.datetime.now(dt.UTC))
    until = decisions.streams_until(environment.calendar(), market_now)
    end = f"{until:%Y-%m-%d %H:%M} UTC" if until else "it is stopped"
    context.log.info("%s until %s", program, end)

    def is_left() -> bool:
        return interruption.came or not is_intact(ancestors)

    def is_finished(heartbeats: Sequence[Heartbeat]) -> bool:
        if is_left() and (not runner.outlives_run or _is_cancelled(context)):
            return True
        now = dt.datetime.now(dt.UTC)
        return decisions.is_finished(program, heartbeats, _wall_time(environment, until), now)

    with (
        _failing_with_the_cause(context, program),
        Interruption() as interruption,
        HeartbeatRecorder(settings) as recorder,
        HeartbeatListener(settings, program, recorder.take) as listener,
    ):
        runner = runner_for(settings, program, programs, listener, context.log.info)
        Supervision(
            runner,
            listener,
            EventReporter(
                program,
                context.log_event,
                context.log.info,
                lambda: listener.error,
            ),
            is_finished,
            Limits(grace_seconds=grace_seconds(settings, program)),
            is_left,
        ).run()


def grace_seconds(settings: Settings, program: str) -> float:
    """How long a program may take from SIGTERM on, before SIGKILL."""
    has_copies = program == "producer" and settings.producer_copies > 1
    return settings.drain_seconds + KILL_MARGIN_SECONDS + (LEAVE_SECONDS if has_copies else 0.0)


@contextmanager
def _failing_with_the_cause(context: dg.OpExecutionContext, program: str) -> Iterator[None]:
    """Turn a program's error into the run's failure, without retries of the step.

    A run that only a person can cure is tagged so.
    """
    try:
        yield
    except (ProgramRefusedError, EcsRefusedError) as error:
        context.instance.add_run_tags(context.run_id, {NEEDS_HUMAN_TAG: "true"})
        raise dg.Failure(f"{program}: {error}", allow_retries=False) from error
    except (ProgramKeepsFailingError, ProgramNotDrainedError, EcsUnreachableError) as error:
        raise dg.Failure(f"{program}: {error}", allow_retries=False) from error


def _is_cancelled(context: dg.OpExecutionContext) -> bool:
    """Whether a person has terminated this run; a code server that ends interrupts it too."""
    run = context.instance.get_run_by_id(context.run_id)
    return run is not None and run.status in CANCELLED


def _wall_time(environment: Environment, until: dt.datetime | None) -> dt.datetime | None:
    """The wall time of a market time; None without one, and where no clock answers.

    Read at each look, because a replay has no wall time for its end before it has begun.
    """
    try:
        return environment.clock().wall(until) if until else None
    except MarketClockError:
        return None


STREAM_JOBS = tuple(stream_job(program) for program in PROGRAMS)


def stream_checks(checks: list[dg.AssetChecksDefinition]) -> UnresolvedAssetJobDefinition:
    """The job that judges the running streams by what Kafka and ClickHouse hold."""
    return dg.define_asset_job(
        "stream_checks",
        selection=dg.AssetSelection.checks(*checks)
        | dg.AssetSelection.assets(STREAM_GAPS, DEAD_LETTER_TABLE, TOP_MOVERS_10S),
        description="Judges the running streams: lag, freshness, confirmed channels, clocks, dead "
        "letters, the account of events, and whether processed messages are rows. Shows the gap "
        "ledger, the dead letters of the last day, and the top movers.",
    )


VALIDATE_SUBSCRIPTIONS = dg.define_asset_job(
    "validate_subscriptions",
    selection=dg.AssetSelection.assets(SUBSCRIPTIONS),
    description="Validates the subscription CSV and puts it in force if every line is valid.",
    # dagster.yaml allows one such run at a time, so the last to publish is the last to have read.
    tags={VALIDATION_TAG: "subscriptions"},
)
REFRESH_OHLCV_1M = dg.define_asset_job(
    "refresh_ohlcv_1m",
    selection=dg.AssetSelection.assets(OHLCV_1M),
    description="Computes the one-minute bars of a trading day again; a repetition replaces them.",
)
