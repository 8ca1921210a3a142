"""Kafka Connect's REST API: a connector's configuration and state, and the restart of what failed.

Add a request here; what a configuration should be belongs to `provisioning.connector_plan`, what
follows from a state to `inspection.connectors`. The same paths serve self-managed Connect and
hosted ones with this API.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import requests

from polygon_assets.clients import tls
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

TIMEOUT_SECONDS = (3.0, 10.0)
PATIENCE_SECONDS = 30.0
"""How long a change waits for the end of a rebalance, during which Connect refuses it."""
PAUSE_SECONDS = 1.0
MOST_SHOWN = 1_000
CURES = {
    401: "check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASSWORD",
    403: "the user of KAFKA_CONNECT_USER may not do this",
}
_NOT_FOUND, _REBALANCING = 404, 409


class ConnectError(PolygonAssetsError):
    """Connect refused a request, or its answer cannot be used.

    The message names the request, the HTTP status, Connect's own message and the cure.
    """


class ConnectUnreachableError(ConnectError):
    """Connect did not answer, failed itself, or is rebalancing: the same request may work later."""


@dataclass(frozen=True)
class TaskState:
    """One task of a connector."""

    id: int
    state: str
    """UNASSIGNED, RUNNING, PAUSED, FAILED, RESTARTING or STOPPED."""
    worker: str
    cause: str = ""
    """The first line of the trace of a failed task, and its causes."""


@dataclass(frozen=True)
class ConnectorState:
    """A connector and its tasks."""

    name: str
    state: str
    worker: str = ""
    cause: str = ""
    tasks: tuple[TaskState, ...] = ()


class _Task(msgspec.Struct):
    id: int
    state: str
    worker_id: str = ""
    trace: str = ""


class _Connector(msgspec.Struct):
    state: str
    worker_id: str = ""
    trace: str = ""


class _Status(msgspec.Struct):
    connector: _Connector
    tasks: tuple[_Task, ...] = ()


class KafkaConnect:
    """One Connect cluster; every method raises ConnectError."""

    def __init__(
        self,
        settings: Settings,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ConnectError where no address is set."""
        if missing := missing_settings(settings, "connect"):
            raise ConnectError(not_set(missing))
        self._url = settings.kafka_connect_url.rstrip("/")
        self._login = (
            (settings.kafka_connect_user, settings.kafka_connect_password.get_secret_value())
            if settings.kafka_connect_user
            else None
        )
        self._verify = tls.verify(settings)
        self._conceal = settings.conceal
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    def config(self, name: str) -> dict[str, str] | None:
        """The configuration of a connector; None without such a connector."""
        answer = self._request("GET", _path(name, "config"))
        return None if answer is None else self._decode(answer, dict[str, str])

    def put_config(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector, or replace its whole configuration, which restarts it."""
        self._change("PUT", _path(name, "config"), dict(config))

    def state(self, name: str) -> ConnectorState | None:
        """The state of a connector and its tasks; None without such a connector."""
        answer = self._request("GET", _path(name, "status"))
        if answer is None:
            return None
        status = self._decode(answer, _Status)
        connector = status.connector
        return ConnectorState(
            name,
            connector.state,
            connector.worker_id,
            self._cause(connector.trace),
            tuple(
                TaskState(task.id, task.state, task.worker_id, self._cause(task.trace))
                for task in sorted(status.tasks, key=lambda task: task.id)
            ),
        )

    def restart_failed(self, name: str) -> None:
        """Restart the connector and its tasks as far as they have failed."""
        self._change("POST", _path(name, "restart?includeTasks=true&onlyFailed=true"))

    def _change(self, method: str, path: str, body: dict[str, str] | None = None) -> None:
        """A request that is repeated while Connect rebalances; it must be repeatable."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                answer = self._request(method, path, body)
            except _RebalancingError:
                if time.monotonic() >= deadline:
                    raise
                self._sleep(PAUSE_SECONDS)
                continue
            if answer is None:
                raise ConnectError(f"{method} {self._url}{path}: no such connector")
            return

    def _request(
        self, method: str, path: str, body: dict[str, str] | None = None
    ) -> requests.Response | None:
        """One request; None where there is no such connector."""
        endpoint = f"{method} {self._url}{path}"
        try:
            answer = requests.request(
                method,
                self._url + path,
                json=body,
                auth=self._login,
                verify=self._verify,
                timeout=TIMEOUT_SECONDS,
            )
        except requests.RequestException as error:
            reason = self._conceal(str(error))
            raise ConnectUnreachableError(
                f"{endpoint}: no answer: {reason}; check KAFKA_CONNECT_URL and the worker"
            ) from error
        if answer.status_code == _NOT_FOUND and _is_about_a_connector(answer):
            return None
        if not answer.ok:
            raise self._refusal(endpoint, answer)
        return answer

    def _refusal(self, endpoint: str, answer: requests.Response) -> ConnectError:
        status = answer.status_code
        words = self._conceal(_message(answer))[:MOST_SHOWN]
        cure = f"; {CURES[status]}" if status in CURES else ""
        message = f"{endpoint}: HTTP {status}: {words}{cure}"
        if status == _REBALANCING:
            return _RebalancingError(message)
        return ConnectUnreachableError(message) if status >= 500 else ConnectError(message)

    def _decode(self, answer: requests.Response, kind: Any) -> Any:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConnectError(
                f"GET {answer.url}: not an answer of Kafka Connect ({error}): "
                f"{self._conceal(answer.text)[:100]!r}; check KAFKA_CONNECT_URL"
            ) from error

    def _cause(self, trace: str) -> str:
        """The first line of a Java trace, and those of its causes, which name the reason."""
        lines = [line.strip() for line in trace.splitlines()]
        shown = lines[:1] + [line for line in lines if line.startswith("Caused by: ")]
        return self._conceal("; ".join(shown))[:MOST_SHOWN]


class _RebalancingError(ConnectUnreachableError):
    """Connect assigns its tasks anew, and accepts no change meanwhile."""


def _path(name: str, rest: str) -> str:
    return f"/connectors/{quote(name, safe='')}/{rest}"


def _is_about_a_connector(answer: requests.Response) -> bool:
    """Whether Connect itself says so: a wrong address also answers 404, but not in this form."""
    try:
        return bool(answer.json()["error_code"] == _NOT_FOUND)
    except (ValueError, KeyError, TypeError):
        return False


def _message(answer: requests.Response) -> str:
    """Connect's own message; whatever came, where another server answered."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip() or str(answer.reason)
