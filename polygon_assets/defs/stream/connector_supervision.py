"""Kafka Connect in place of `run_sink`: the sensor that shows its connectors and restarts failures.

Add a rule about restarts here; what Connect reports belongs to `inspection.connectors`, the alert
to `inspection.alert_rules`. Nothing happens unless SINK_RUNNER is connect.
"""

import datetime as dt
from collections.abc import Iterable, Mapping

import dagster as dg
import msgspec

from polygon_assets.clients.kafka_connect import ConnectError, ConnectorState, KafkaConnect
from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import pause_after
from polygon_assets.inspection import InspectionError, connectors
from polygon_assets.settings import Settings

OBSERVE_EVERY = dt.timedelta(minutes=5)
"""A change is observed at once; each event stays in Dagster's log for good."""
MAX_RESTARTS = 5
"""In a row, within 8 minutes: what these do not cure is a fault that a person must correct."""
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(seconds=30), dt.timedelta(minutes=5)
HEALTHY_AFTER = dt.timedelta(minutes=15)
"""A connector that runs this long after its last restart works: the count begins again."""


class Restarts(msgspec.Struct, frozen=True):
    """The restarts of one connector in a row."""

    count: int
    last_at: dt.datetime


class Watch(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sensor's cursor."""

    restarts: dict[str, Restarts] = {}
    shown: dict[str, str] = {}
    """By connector, the states of the last observation."""
    observed_at: dt.datetime | None = None


@dg.sensor(
    name="sink_connectors",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Where SINK_RUNNER is connect: reads the connectors that replace our sink, shows "
    "their states on `clickhouse/stock_aggregates`, and restarts what has failed, five times in a "
    "row. The alert `connector_not_running` fires meanwhile.",
)
def sink_connectors(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    settings, now = environment.settings(), dt.datetime.now(dt.UTC)
    if not connectors.replaces(settings, "sink"):
        return dg.SkipReason("SINK_RUNNER=program: our own sink loads ClickHouse")
    try:
        by_name = connectors.connectors(settings)
    except InspectionError as error:
        return dg.SkipReason(str(error))
    before = read_watch(context.cursor)
    restarts = still_counting(before.restarts, by_name, now)
    due = [name for name in by_name if is_restart_due(by_name[name], restarts.get(name), now)]
    for name in due:
        # Counted before it is tried: a request without an answer may have been carried out.
        count = restarts[name].count + 1 if name in restarts else 1
        restarts[name] = Restarts(count, now)
        context.log.warning("connector %s: %s", name, _restart(settings, name, count))
    states = {name: f"{state.state} {connectors.problem(state)}" for name, state in by_name.items()}
    is_new = states != before.shown or due
    observe = is_new or before.observed_at is None or now - before.observed_at >= OBSERVE_EVERY
    after = Watch(restarts, states, now if observe else before.observed_at)
    return dg.SensorResult(
        cursor=msgspec.json.encode(after).decode(),
        asset_events=[observation(by_name, restarts)] if observe else [],
        skip_reason=_summary(by_name, restarts),
    )


def read_watch(cursor: str | None) -> Watch:
    """The state after the last tick; a new one where the cursor cannot be read."""
    try:
        return msgspec.json.decode(cursor or "{}", type=Watch)
    except msgspec.MsgspecError:
        return Watch()


def still_counting(
    restarts: Mapping[str, Restarts], by_name: Mapping[str, ConnectorState], now: dt.datetime
) -> dict[str, Restarts]:
    """The counts without those of connectors that are gone, or that run since long enough."""
    return {
        name: known
        for name, known in restarts.items()
        if name in by_name
        and (connectors.problem(by_name[name]) or now - known.last_at < HEALTHY_AFTER)
    }


def is_restart_due(state: ConnectorState, known: Restarts | None, now: dt.datetime) -> bool:
    """Whether to restart what has failed: at once, then after growing pauses, then never."""
    if not connectors.has_failed(state):
        return False
    if known is None:
        return True
    pause = pause_after(known.count, FIRST_PAUSE, LONGEST_PAUSE)
    return known.count < MAX_RESTARTS and now - known.last_at >= pause


def observation(
    by_name: Mapping[str, ConnectorState], restarts: Mapping[str, Restarts]
) -> dg.AssetObservation:
    """The states of connectors and tasks as an event of the table that they fill."""
    problems = connectors.problems(by_name)
    running = [
        task.state == connectors.RUNNING for state in by_name.values() for task in state.tasks
    ]
    return dg.AssetObservation(
        STOCK_AGGREGATES,
        metadata={
            "state": dg.MetadataValue.text(
                "; ".join(f"connector {name} {reason}" for name, reason in problems.items())
                or connectors.RUNNING
            ),
            "connectors": dg.MetadataValue.md("\n".join(_lines(by_name.values()))),
            "tasks": dg.MetadataValue.int(len(running)),
            "running_tasks": dg.MetadataValue.int(sum(running)),
            "restarts": dg.MetadataValue.int(sum(known.count for known in restarts.values())),
        },
    )


def _lines(states: Iterable[ConnectorState]) -> Iterable[str]:
    for state in states:
        yield f"* **{state.name}**: {state.state}{_where(state.worker)}"
        for task in state.tasks:
            yield f"  * task {task.id}: {task.state}{_where(task.worker)} {task.cause}".rstrip()


def _where(worker: str) -> str:
    return f" on {worker}" if worker else ""


def _restart(settings: Settings, name: str, count: int) -> str:
    """Restart what has failed; a sentence says what came of it."""
    try:
        # Without patience: a tick has 60 s, and the next one tries again.
        KafkaConnect(settings, patience_seconds=0).restart_failed(name)
    except ConnectError as error:
        return f"not restarted ({error})"
    return f"what has failed is restarted, {count} of {MAX_RESTARTS} times"


def _summary(by_name: Mapping[str, ConnectorState], restarts: Mapping[str, Restarts]) -> str:
    problems = connectors.problems(by_name)
    given_up = [
        name
        for name, known in restarts.items()
        if known.count >= MAX_RESTARTS and connectors.has_failed(by_name[name])
    ]
    sentences = [
        f"{name} {reason}" + (" (no more restarts)" if name in given_up else "")
        for name, reason in problems.items()
    ]
    return "; ".join(sentences) or "every connector and task is RUNNING"
