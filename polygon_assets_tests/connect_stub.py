"""A server with the part of Kafka Connect's REST API that we use, whose states a test sets.

The real runtime belongs to processes/connect_runtime.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from polygon_assets.settings import Settings
from polygon_assets_tests.http_server import running

RUNNING_TASK = {"id": 0, "state": "RUNNING", "worker_id": "10.0.0.7:8083"}
RUNNING = {"connector": {"state": "RUNNING", "worker_id": "10.0.0.7:8083"}, "tasks": [RUNNING_TASK]}
TRACE = (
    "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask\n"
    "\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:1)\n"
    "Caused by: java.lang.RuntimeException: Number of records: 2\n"
    "\t... 10 more\n"
    "Caused by: com.clickhouse.client.ClickHouseException: Code: 516, wrong password {password}\n"
)


def failed(password: str = "") -> dict[str, Any]:
    """A connector whose one task has failed; the trace quotes a password."""
    trace = TRACE.format(password=password)
    return RUNNING | {"tasks": [RUNNING_TASK | {"state": "FAILED", "trace": trace}]}


class ConnectStub(ThreadingHTTPServer):
    """Keeps what is put, and answers with `states`; the first `rebalances` changes get 409."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.configs: dict[str, dict[str, str]] = {}
        self.states: dict[str, dict[str, Any]] = {}
        self.restarts: list[str] = []
        self.logins: list[str] = []
        self.rebalances = 0
        self.refusal: tuple[int, str] | None = None
        """Status and body of every answer from now on."""

    @property
    def settings(self) -> Settings:
        return Settings(kafka_connect_url=f"http://127.0.0.1:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: ConnectStub

    def do_GET(self) -> None:
        name, what = self._asked()
        found = {"config": self.server.configs, "status": self.server.states}[what].get(name)
        if found is None:
            return self._refuse(404, f"Connector {name} not found")
        known = {"name": name} if what == "config" else {"name": name, "type": "sink"}
        return self._answer(200, found | known)

    def do_PUT(self) -> None:
        name, _ = self._asked()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_rebalancing():
            return None
        is_new = name not in self.server.configs
        self.server.configs[name] = body
        self.server.states.setdefault(name, RUNNING)
        return self._answer(201 if is_new else 200, {"name": name, "config": body, "tasks": []})

    def do_POST(self) -> None:
        name, what = self._asked()
        if self._is_rebalancing():
            return None
        if name not in self.server.states:
            return self._refuse(404, f"Unknown connector: {name}")
        self.server.restarts.append(f"{name}/{what}")
        return self._answer(202, self.server.states[name])

    def _asked(self) -> tuple[str, str]:
        self.server.logins.append(self.headers.get("Authorization", ""))
        _, _, name, what = self.path.split("/")
        return unquote(name), what

    def _is_rebalancing(self) -> bool:
        if not self.server.rebalances:
            return False
        self.server.rebalances -= 1
        self._refuse(409, "Cannot complete request momentarily due to stale configuration")
        return True

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"error_code": status, "message": message})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        if self.server.refusal:
            status, content = self.server.refusal[0], self.server.refusal[1].encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output shows failures only."""


@contextmanager
def connect_stub() -> Iterator[ConnectStub]:
    with running(ConnectStub()) as server:
        yield server
