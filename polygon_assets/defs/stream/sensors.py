"""What the stream half reacts to: programs that are down, a new CSV, and the end of a day.

Add a sensor of the live data here: it gathers facts, asks `decisions` or `day_closing`, and acts on
the answer. Alerts and automation conditions, which concern both halves, belong to `defs.graph`.
"""

import datetime as dt
import json
from collections.abc import Iterator

import dagster as dg

from polygon_assets.clients import ecs
from polygon_assets.defs.graph import plots
from polygon_assets.defs.graph.dagster_processes import dagster_ancestors, is_intact
from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import FailOrphanedRun, Wait, fail_orphaned_run
from polygon_assets.defs.stream import day_closing, decisions, facts
from polygon_assets.defs.stream.connector_supervision import sink_connectors
from polygon_assets.defs.stream.fill_gaps import gap_filler
from polygon_assets.defs.stream.jobs import (
    ATTEMPT_TAG,
    ETAG_TAG,
    SESSION_TAG,
    STREAM_JOBS,
    VALIDATE_SUBSCRIPTIONS,
    stream_job_name,
)
from polygon_assets.defs.stream.open_days import open_days
from polygon_assets.inspection import InspectionError, services, streams, tables
from polygon_assets.inspection.gaps import ledger
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

STREAM_SUPERVISOR = "stream_supervisor"
KAFKA_SECONDS = 4.0
"""A tick is short: heartbeats that do not arrive in this time are unknown until the next tick."""


@dg.sensor(
    name=STREAM_SUPERVISOR,
    jobs=list(STREAM_JOBS),
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps one run of each stream program going during a session: launches runs, "
    "relaunches failed ones after a pause, respects a cancel, and reports runs as failed whose "
    "process is gone. Where the programs are ECS services, it scales those to 0 that no run needs.",
)
def stream_supervisor(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    # After a kill -9 of `dagster dev` the daemon still ticks here, and would relaunch every run.
    if not is_intact(dagster_ancestors()):
        return dg.SkipReason(
            "the Dagster that started this code server is gone; nothing is launched"
        )
    settings, calendar = environment.settings(), environment.calendar()
    clock, now = environment.clock(), dt.datetime.now(dt.UTC)
    (beats, no_beats), (counts, no_counts) = _heartbeats(settings), _desired_counts(settings)
    requests, reasons = [], [*filter(None, (no_beats, no_counts))]
    for program in PROGRAMS:
        known = facts.stream_facts(
            context.instance, settings, program, beats.get(program), counts.get(program)
        )
        answer = decisions.decide(known, calendar, now, clock)
        if isinstance(answer, decisions.Start):
            context.log.info("%s: %s", program, answer.reason)
            requests.append(_stream_request(program, answer))
        elif isinstance(answer, FailOrphanedRun):
            fail_orphaned_run(context, STREAM_SUPERVISOR, answer)
        elif isinstance(answer, decisions.StopService):
            reasons.append(_stop_service(context, settings, program, answer))
        reasons.append(f"{program}: {answer.reason}")
    skip_reason = None if requests else "; ".join(reasons)
    return dg.SensorResult(run_requests=requests, skip_reason=skip_reason)


def _heartbeats(settings: Settings) -> tuple[dict[str, Heartbeat], str]:
    """The heartbeats, or none and why: runs are supervised all the same."""
    try:
        return streams.heartbeats(settings, KAFKA_SECONDS), ""
    except InspectionError as error:
        return {}, f"heartbeats unknown ({error})"


def _desired_counts(settings: Settings) -> tuple[dict[str, int], str]:
    """The desired counts of the services, or none and why; none for local processes."""
    if not services.runs_on_ecs(settings):
        return {}, ""
    try:
        return services.desired_counts(settings), ""
    except InspectionError as error:
        return {}, f"services unknown ({error})"


def _stop_service(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    program: str,
    stop: decisions.StopService,
) -> str:
    """Scale a service to 0; a sentence says what came of it, and the next tick tries again."""
    name = ecs.service_name(settings, program)
    try:
        ecs.connect(settings).scale(name, 0)
    except ecs.EcsError as error:
        return f"service {name} is not scaled to 0 ({error})"
    context.log.info("service %s is scaled to 0: %s", name, stop.reason)
    return f"service {name} is scaled to 0"


def _stream_request(program: str, start: decisions.Start) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=stream_job_name(program),
        # The key names the run before: no key is used twice, and two ticks that see the same runs
        # launch one run.
        run_key=f"{program}:{start.session}:{start.after}",
        tags={SESSION_TAG: start.session.isoformat(), ATTEMPT_TAG: str(start.attempt)},
    )


@dg.sensor(
    name="subscriptions_csv",
    job=VALIDATE_SUBSCRIPTIONS,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Validates the subscription CSV once for each version (ETag), and again where the "
    "validation itself failed.",
)
def subscriptions_csv(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    from polygon_assets.clients import subscription_store

    settings = environment.settings()
    if missing := missing_settings(settings, "vendor"):
        return dg.SkipReason(not_set(missing))
    try:
        etag = subscription_store.connect(settings).csv_etag()
    except subscription_store.SubscriptionStoreError as error:
        return dg.SkipReason(str(error))
    known = facts.csv_facts(context.instance, etag, context.cursor or "")
    answer = decisions.validate_csv(known, dt.datetime.now(dt.UTC))
    if isinstance(answer, Wait):
        return dg.SkipReason(answer.reason)
    # No run key: an earlier version of the file can return, and must then be validated again.
    request = dg.RunRequest(tags={ETAG_TAG: etag, ATTEMPT_TAG: str(answer.attempt)})
    return dg.SensorResult(run_requests=[request], cursor=etag)


ON_THE_DELAYED_CLUSTER = (
    "no day is closed while POLYGON_WEBSOCKET_URL is the delayed cluster: the bars of a session's "
    "last minutes, and corrections, arrive after the streams have ended for the day"
)


@dg.sensor(
    name="trading_day_closer",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Materializes a trading day of `clickhouse/stock_aggregates` once it is proved "
    "complete, and reports why a day is still open.",
)
def trading_day_closer(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    settings, calendar = environment.settings(), environment.calendar()
    if settings.is_delayed:
        return dg.SkipReason(ON_THE_DELAYED_CLUSTER)
    wall_now = dt.datetime.now(dt.UTC)
    now = environment.clock().market(wall_now)
    last_reasons: dict[str, str] = json.loads(context.cursor or "{}")
    try:
        entries = ledger(settings)
        open_and_over = [
            day
            for day in open_days(context.instance, calendar, now, entries)
            if calendar.is_settled(day, now)
        ]
        if not open_and_over:
            return dg.SkipReason("no day is over and unproved")
        days = facts.day_facts(settings, open_and_over, entries, wall_now)
    except InspectionError as error:
        return dg.SkipReason(f"nothing can be proved now: {error}")
    verdicts = {
        known.day.isoformat(): day_closing.day_closed(known, calendar, now) for known in days
    }
    events = list(_day_events(settings, verdicts, last_reasons))
    open_reasons = {day: verdict.reason for day, verdict in verdicts.items() if not verdict.closed}
    summary = "; ".join(f"{day}: {reason}" for day, reason in open_reasons.items())
    return dg.SensorResult(
        asset_events=events,
        cursor=json.dumps(open_reasons),
        skip_reason=None if events else summary,
    )


def _day_events(
    settings: Settings, verdicts: dict[str, day_closing.Verdict], last_reasons: dict[str, str]
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """A materialization for each proved day, an observation where the reason has changed."""
    for day, verdict in verdicts.items():
        if verdict.closed:
            proof = dg.MetadataValue.text(verdict.reason)
            yield dg.AssetMaterialization(
                STOCK_AGGREGATES,
                partition=day,
                metadata={"proof": proof, **_seconds_by_minute(settings, day)},
            )
        elif last_reasons.get(day) != verdict.reason:
            yield dg.AssetObservation(
                STOCK_AGGREGATES, partition=day, metadata={"still_open": verdict.reason}
            )


def _seconds_by_minute(settings: Settings, day: str) -> dict[str, dg.MetadataValue]:
    """The day as a picture; none where ClickHouse went away since the proof, which stands."""
    try:
        minutes = tables.seconds_by_minute(settings, dt.date.fromisoformat(day))
    except InspectionError:
        return {}
    title = "stored seconds of all symbols by minute (New York)"
    return {"seconds_by_minute": plots.line(title, minutes, NEW_YORK)}


STREAM_SENSORS = (
    stream_supervisor,
    subscriptions_csv,
    trading_day_closer,
    gap_filler,
    sink_connectors,
)
