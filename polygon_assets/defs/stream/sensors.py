"""What reacts to what happened: supervision of the streams, a new CSV, the end of a day, failed runs, automation.

Each sensor only gathers facts, asks `decisions` and acts on the answer.
"""

import datetime as dt
import json
from collections.abc import Iterator

import dagster as dg

from polygon_assets.defs.graph.alerts import post_alert
from polygon_assets.defs.graph.dagster_processes import dagster_ancestors, is_intact
from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream import decisions, facts
from polygon_assets.defs.stream.jobs import (
    ATTEMPT_TAG,
    ETAG_TAG,
    PROGRAMS,
    SESSION_TAG,
    STREAM_JOBS,
    VALIDATE_SUBSCRIPTIONS,
    stream_job_name,
)
from polygon_assets.inspection import EvidenceError, streams
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings

LOOK_SECONDS = 4.0
"""A tick is short: what cannot be asked in this time is unknown, and the next tick asks again."""
DAYS_BACK = 5
"""Trading days that may still be proved complete; an older one needs a person anyway."""


@dg.sensor(
    name="stream_supervisor",
    jobs=list(STREAM_JOBS),
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps one run of each stream program going while a session is on: launches, launches again with pauses, respects a "
    "cancel, and reports runs as failed whose process is gone.",
)
def stream_supervisor(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    # After a kill -9 of `dagster dev` its daemon goes on ticking here, and would start again what has just ended with it.
    if not is_intact(dagster_ancestors()):
        return dg.SkipReason(
            "the Dagster that started this code server is gone; nothing is launched"
        )
    settings, calendar, clock, now = (
        environment.settings(),
        environment.calendar(),
        environment.clock(),
        dt.datetime.now(dt.UTC),
    )
    beats, unknown = _heartbeats(settings)
    requests, reasons = [], [unknown] if unknown else []
    for program in PROGRAMS:
        known = facts.stream_facts(context.instance, settings, program, beats.get(program))
        answer = decisions.decide(known, calendar, now, clock)
        if isinstance(answer, decisions.Start):
            context.log.info("%s: %s", program, answer.reason)
            requests.append(_stream_request(program, answer))
        elif isinstance(answer, decisions.Free):
            _free(context, answer)
        reasons.append(f"{program}: {answer.reason}")
    return dg.SensorResult(
        run_requests=requests, skip_reason=None if requests else "; ".join(reasons)
    )


def _heartbeats(settings: Settings) -> tuple[dict[str, Heartbeat], str]:
    """The heartbeats, or none and why: runs are supervised all the same."""
    try:
        return streams.heartbeats(settings, LOOK_SECONDS), ""
    except EvidenceError as error:
        return {}, f"heartbeats unknown ({error})"


def _stream_request(program: str, start: decisions.Start) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=stream_job_name(program),
        # The run before it is part of the key: a key is never used twice, and two ticks that see the same runs launch once.
        run_key=f"{program}:{start.session}:{start.after}",
        tags={SESSION_TAG: start.session.isoformat(), ATTEMPT_TAG: str(start.attempt)},
    )


def _free(context: dg.SensorEvaluationContext, answer: decisions.Free) -> None:
    run = context.instance.get_run_by_id(answer.run_id)
    if run and not run.is_finished:
        context.instance.report_run_failed(run, message=f"stream_supervisor: {answer.reason}")
        context.log.warning("freed run %s: %s", answer.run_id, answer.reason)


@dg.sensor(
    name="subscriptions_csv",
    job=VALIDATE_SUBSCRIPTIONS,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Validates the subscription CSV once for each version (ETag), and again where the validation itself could not be made.",
)
def subscriptions_csv(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    from polygon_assets.clients import subscription_store

    settings = environment.settings()
    if not settings.polygon_api_key.get_secret_value():
        return dg.SkipReason(
            "POLYGON_API_KEY is not set; `polygon-assets doctor` says how to get it"
        )
    try:
        etag = subscription_store.connect(settings).csv_etag()
    except subscription_store.SubscriptionStoreError as error:
        return dg.SkipReason(str(error))
    answer = decisions.validate_csv(
        facts.csv_facts(context.instance, etag, context.cursor or ""), dt.datetime.now(dt.UTC)
    )
    if isinstance(answer, decisions.Wait):
        return dg.SkipReason(answer.reason)
    # No run key: the same version may come back after another one and must be validated again.
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags={ETAG_TAG: etag, ATTEMPT_TAG: str(answer.attempt)})],
        cursor=etag,
    )


@dg.sensor(
    name="trading_day_closer",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Materializes a trading day of `clickhouse/stock_aggregates` once it is proved complete, and says why a day is still open.",
)
def trading_day_closer(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    settings, calendar = environment.settings(), environment.calendar()
    now = environment.clock().market(dt.datetime.now(dt.UTC))
    last_reasons: dict[str, str] = json.loads(context.cursor or "{}")
    days = [
        day
        for day in open_days(context.instance, calendar, now)
        if decisions.is_settled(calendar, day, now)
    ]
    if not days:
        return dg.SkipReason("no day is over and unproved")
    try:
        found = facts.day_facts(context.instance, settings, days)
    except EvidenceError as error:
        return dg.SkipReason(f"nothing can be proved now: {error}")
    verdicts = {
        facts.day.isoformat(): decisions.day_closed(facts, calendar, now) for facts in found
    }
    events = list(_day_events(verdicts, last_reasons))
    open_reasons = {key: verdict.reason for key, verdict in verdicts.items() if not verdict.closed}
    summary = "; ".join(f"{key}: {reason}" for key, reason in open_reasons.items())
    return dg.SensorResult(
        asset_events=events,
        cursor=json.dumps(open_reasons),
        skip_reason=None if events else summary,
    )


def open_days(
    instance: dg.DagsterInstance, calendar: MarketCalendar, now: dt.datetime
) -> list[dt.date]:
    """The last trading days, today included, that have no closing materialization."""
    today = calendar.day_of(now)
    recent = list(calendar.trading_days(max(FIRST_DAY, today - dt.timedelta(days=14)), today))[
        -DAYS_BACK:
    ]
    closed = instance.get_materialized_partitions(STOCK_AGGREGATES)
    return [day for day in recent if day.isoformat() not in closed]


def _day_events(
    verdicts: dict[str, decisions.Verdict], last_reasons: dict[str, str]
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    for key, verdict in verdicts.items():
        metadata = {"proof" if verdict.closed else "still_open": verdict.reason}
        if verdict.closed:
            yield dg.AssetMaterialization(STOCK_AGGREGATES, partition=key, metadata=metadata)
        elif last_reasons.get(key) != verdict.reason:
            yield dg.AssetObservation(STOCK_AGGREGATES, partition=key, metadata=metadata)


@dg.run_failure_sensor(
    name="alert_on_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs each failed run and posts it to ALERT_WEBHOOK_URL when that is set.",
)
def alert_on_failure(context: dg.RunFailureSensorContext, environment: Environment) -> None:
    run = context.dagster_run
    causes = (
        "; ".join(failure_cause(event) for event in context.get_step_failure_events())
        or context.failure_event.message
    )
    text = f"{run.job_name} failed (run {run.run_id[:8]}): {causes}"
    context.log.error(text)
    post_alert(environment.settings().alert_webhook_url.get_secret_value(), text)


def failure_cause(event: dg.DagsterEvent) -> str:
    """The sentence that says why a step failed: what dg.Failure was given, or else the first of the chain of errors."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else event.message or "no reason given"


AUTOMATION = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Follows the automation conditions of the assets: daily tables after the proof of their day.",
)

SENSORS = (stream_supervisor, subscriptions_csv, trading_day_closer, alert_on_failure, AUTOMATION)
