"""Alerts: the sensor that judges them, sends them to people outside Dagster, and shows them.

Add a way to send or to show alerts here; which alerts there are belongs to
`inspection.alert_rules`, when a message is due to `alert_state`. A failed run is a message too.
"""

import datetime as dt
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Literal

import dagster as dg
import msgspec

from polygon_assets.clients import tls
from polygon_assets.defs.graph.alert_facts import SYNCS_EVERY, read_facts
from polygon_assets.defs.graph.alert_state import AlertState, advance, as_cursor, read_state
from polygon_assets.defs.graph.keys import ALERTS_TABLE
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.inspection import InspectionError, tables
from polygon_assets.inspection.alert_rules import AlertFacts, judge
from polygon_assets.serving.alert_history import FiringAlert
from polygon_assets.settings import Settings

TIMEOUT_SECONDS = 10
"""Webhooks answer within a second; one that hangs must leave time in the tick."""
LONGEST_TEXT = 2_000
"""Characters: a screen of text. Some webhooks refuse longer ones."""
REFUSALS = frozenset({400, 413, 422})
"""Answers about the text sent; other errors concern the address, the login or the load."""
MOST_WAITING = 500
"""Messages of a long outage; they are stored in the sensor's cursor, at most 1 MB."""
DELIVERY_SECONDS = 10.0
"""A tick begins no further message after this time: a sensor's tick has 60 s."""
RUN_FAILURE: Literal[dg.DagsterEventType.RUN_FAILURE] = dg.DagsterEventType.RUN_FAILURE
MOST_FAILED_RUNS = 100
"""Failed runs of one tick; the next tick goes on with the others."""


class AlertError(PolygonAssetsError):
    """The alert was not delivered; the message names the cause, never the address, a secret."""


class AlertRefusedError(AlertError):
    """The webhook answered, but does not take this text; it may take others."""


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges the alerts and posts to ALERT_WEBHOOK_URL when one fires or is over, and "
    "when a run has failed; without that address they are only logged. What the "
    "webhook does not accept is posted again at the next tick. `clickhouse/alerts` has what fired.",
)
def alerts(context: dg.SensorEvaluationContext, environment: Environment) -> dg.SensorResult:
    settings, now = environment.settings(), _now()
    before = read_state(context.cursor)
    is_due = before.syncs_read_at is None or now - before.syncs_read_at >= SYNCS_EVERY
    facts = read_facts(context.instance, settings, is_due, now)
    state, messages = advance(before, judge(facts, settings), settings, now)
    state, failures = _with_failed_runs(context.instance, state)
    for message in (*messages, *failures):
        context.log.error(message)
    if not_stored := _store(settings, facts, state.firing, now):
        context.log.warning("market.alerts is not up to date: %s", not_stored)
    # Delivery comes last: a tick that dies before its cursor is stored sends its messages twice.
    left, problem = deliver(settings, state.outbox)
    if problem:
        context.log.error("%d message(s) wait for the next tick: %s", len(left), problem)
    airbyte_answered = facts.failed_syncs is not None
    read_at = now if airbyte_answered else before.syncs_read_at
    after = msgspec.structs.replace(state, outbox=left, syncs_read_at=read_at)
    return dg.SensorResult(
        cursor=as_cursor(after),
        asset_events=[_event(after.firing)] if messages else [],
        skip_reason=_summary(after),
    )


def _now() -> dt.datetime:
    """Now, in whole milliseconds, as `market.alerts` stores moments."""
    now = dt.datetime.now(dt.UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _summary(state: AlertState) -> str:
    """What fires, and what would fire if it lasted."""
    firing = [cause.title for cause in state.causes if cause.sent_at]
    pending = [cause.title for cause in state.causes if not cause.sent_at]
    waits = f"; {len(state.outbox)} message(s) to send" if state.outbox else ""
    return (
        (f"firing: {', '.join(firing)}" if firing else "no alert fires")
        + (f"; not yet: {', '.join(pending)}" if pending else "")
        + waits
    )


def _event(firing: Sequence[FiringAlert]) -> dg.AssetMaterialization:
    lines = [
        f"* **{alert.alert} {alert.subject}** since {alert.since:%H:%M:%S} UTC: {alert.detail}"
        for alert in firing
    ]
    return dg.AssetMaterialization(
        ALERTS_TABLE,
        metadata={
            "firing_alerts": dg.MetadataValue.int(len(firing)),
            "alerts": dg.MetadataValue.md("\n".join(lines) or "no alert fires"),
        },
    )


def _store(
    settings: Settings, facts: AlertFacts, firing: Sequence[FiringAlert], now: dt.datetime
) -> str:
    """Update `market.alerts`. Returns the reason if that failed; the next tick repeats it."""
    if not settings.clickhouse_host:
        return ""
    if reason := facts.unreadable.get("clickhouse"):
        return reason
    try:
        tables.store_firing_alerts(settings, firing, now)
    except InspectionError as error:
        return str(error)
    return ""


def _with_failed_runs(
    instance: dg.DagsterInstance, state: AlertState
) -> tuple[AlertState, Sequence[str]]:
    """The state with a message for each run that failed since the last tick, and the messages.

    The first tick begins with the runs that fail from then on.
    """
    if state.failed_run is None:
        newest = instance.fetch_run_status_changes(RUN_FAILURE, limit=1).records
        return msgspec.structs.replace(state, failed_run=newest[0].storage_id if newest else 0), ()
    failed = instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(RUN_FAILURE, after_storage_id=state.failed_run),
        limit=MOST_FAILED_RUNS,
        ascending=True,
    ).records
    if not failed:
        return state, ()
    messages = [_failed_run(instance, record) for record in failed]
    outbox = (*state.outbox, *messages)
    return msgspec.structs.replace(state, failed_run=failed[-1].storage_id, outbox=outbox), messages


def _failed_run(instance: dg.DagsterInstance, record: dg.EventLogRecord) -> str:
    entry = record.event_log_entry
    steps = instance.get_records_for_run(
        entry.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    ).records
    causes = [failure_cause(step.event_log_entry.get_dagster_event()) for step in steps]
    cause = "; ".join(causes) or entry.get_dagster_event().message
    return f"{entry.job_name} failed (run {entry.run_id[:8]}): {cause}"


def failure_cause(event: dg.DagsterEvent) -> str:
    """Why a step failed: the description of its dg.Failure, or the first error of the chain."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else event.message or "no reason given"


def deliver(settings: Settings, outbox: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Post messages in order. Returns those not delivered, and the newest error.

    A refused message waits for the next tick and holds up no other. Of more than MOST_WAITING the
    oldest are given up: the log and `market.alerts` have them too.
    """
    until = time.monotonic() + DELIVERY_SECONDS
    refused: list[str] = []
    problem = ""
    for sent, message in enumerate(outbox):
        try:
            if time.monotonic() > until:
                raise AlertError(f"the webhook took {DELIVERY_SECONDS:.0f} s")
            post_alert(settings, message)
        except AlertRefusedError as error:
            refused.append(message)
            problem = str(error)
        except AlertError as error:
            return tuple((*refused, *outbox[sent:])[-MOST_WAITING:]), str(error)
    return tuple(refused[-MOST_WAITING:]), problem


def post_alert(settings: Settings, text: str) -> None:
    """POST {"text": ...}, the form that Slack and others accept; without an address, do nothing.

    Raises AlertError.
    """
    webhook_url = settings.alert_webhook_url.get_secret_value()
    if not webhook_url:
        return
    try:
        request = urllib.request.Request(
            webhook_url,
            json.dumps({"text": _shortened(settings.conceal(text))}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(
            request, timeout=TIMEOUT_SECONDS, context=tls.context(settings)
        ).close()
    except urllib.error.HTTPError as error:
        error.close()
        kind = AlertRefusedError if error.code in REFUSALS else AlertError
        raise kind(f"the webhook answered HTTP {error.code}") from None
    except OSError as error:
        raise AlertError(f"the webhook cannot be reached: {error}") from None
    except (HTTPException, ValueError):
        raise AlertError("ALERT_WEBHOOK_URL is not an address") from None


def _shortened(text: str) -> str:
    """At most LONGEST_TEXT characters: the cause comes first, and the log has the rest."""
    cut = "… (the log has the rest)"
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - len(cut)] + cut
