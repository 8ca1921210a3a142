"""What Kafka Connect reports of the connectors that replace our sink.

Add a question about them here; restarting them belongs to `defs.stream`, a request of the REST API
to `clients.kafka_connect`.
"""

from collections.abc import Mapping

from polygon_assets.clients import kafka_connect
from polygon_assets.clients.kafka_connect import ConnectorState, KafkaConnect
from polygon_assets.inspection import InspectionError
from polygon_assets.settings import Settings

KAFKA_CONNECT = "Kafka Connect (SINK_RUNNER=connect)"
RUNNING, FAILED, MISSING = "RUNNING", "FAILED", "MISSING"
NOT_RUNNING_CURE = (
    "`polygon-assets connect status` shows the trace; correct the cause (or `connect apply` the "
    "file in deploy/connect), then restart it in Connect if it was paused or stopped"
)


class ConnectUnusableError(InspectionError):
    """Kafka Connect did not answer, or refused the question."""


def replaces(settings: Settings, program: str) -> bool:
    """Whether the connectors do the work of a stream program."""
    return program == "sink" and settings.sink_runner == "connect"


def names(settings: Settings) -> list[str]:
    """The connectors of KAFKA_CONNECT_CONNECTORS; the first loads the aggregates."""
    return [name.strip() for name in settings.kafka_connect_connectors.split(",") if name.strip()]


def connectors(settings: Settings) -> dict[str, ConnectorState]:
    """The state of each connector, MISSING where Connect has none. Raises ConnectUnusableError."""
    try:
        connect = KafkaConnect(settings)
        return {
            name: connect.state(name) or ConnectorState(name, MISSING) for name in names(settings)
        }
    except kafka_connect.ConnectError as error:
        raise ConnectUnusableError(str(error)) from error


def problem(connector: ConnectorState) -> str:
    """Why a connector does not load; empty while it and all its tasks run."""
    if connector.state == MISSING:
        return "does not exist; `polygon-assets connect apply` creates it from deploy/connect"
    if connector.state != RUNNING:
        return f"is {connector.state}{_because(connector.cause)}"
    if not connector.tasks:
        return "runs without a task"
    return "; ".join(
        f"task {task.id} is {task.state}{_because(task.cause)}"
        for task in connector.tasks
        if task.state != RUNNING
    )


def problems(by_name: Mapping[str, ConnectorState]) -> dict[str, str]:
    """By connector, why it does not load; without those that do."""
    reasons = {name: problem(connector) for name, connector in by_name.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def has_failed(connector: ConnectorState) -> bool:
    """Whether a restart may help: itself or one of its tasks has failed."""
    return FAILED in (connector.state, *(task.state for task in connector.tasks))


def summary(settings: Settings) -> str:
    """The running tasks of each connector. Raises ConnectUnusableError, also for a problem."""
    by_name = connectors(settings)
    if reasons := problems(by_name):
        sentences = "; ".join(f"connector {name} {reason}" for name, reason in reasons.items())
        raise ConnectUnusableError(f"{sentences}. What to do: {NOT_RUNNING_CURE}")
    return ", ".join(f"{name} {shown(connector)}" for name, connector in by_name.items())


def shown(connector: ConnectorState) -> str:
    """Its state and how many of its tasks run."""
    running = sum(task.state == RUNNING for task in connector.tasks)
    return f"{connector.state}, {running}/{len(connector.tasks)} tasks"


def worst_state(connector: ConnectorState) -> str:
    """RUNNING while the connector and all its tasks run; otherwise the first other state."""
    states = [connector.state, *(task.state for task in connector.tasks)]
    if FAILED in states:
        return FAILED
    others = [state for state in states if state != RUNNING]
    return others[0] if others else RUNNING if connector.tasks else "WITHOUT TASKS"


def _because(cause: str) -> str:
    return f" ({cause})" if cause else ""
