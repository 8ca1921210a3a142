"""A server with Airbyte's APIs whose workspace and refusals a test sets; it records every request.

It neither runs a connector nor checks a request: the embedded Airbyte does. What a workspace looks
like belongs to airbyte_workspace.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from polygon_assets.batch.airbyte.workspace_plan import WorkspaceState
from polygon_assets_tests.airbyte_workspace import EMPTY
from polygon_assets_tests.http_server import running


class Sent(NamedTuple):
    """A request that may change something: not a GET, a token, or a read of the configuration."""

    method: str
    path: str
    body: Any


class AirbyteStub(ThreadingHTTPServer):
    """Answers with `workspace`; `refusals` by method and beginning of the path come first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.workspace = EMPTY
        self.offered: list[str] = []
        """Streams of a discovery."""
        self.states: dict[str, Any] = {}
        self.states_after_patch: dict[str, Any] | None = None
        """What the states of every connection become when one is patched."""
        self.refusals: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.sent: list[Sent] = []

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server_port}"
        return {
            "AIRBYTE_API_URL": f"{address}/v1",
            "AIRBYTE_CONFIGURATION_API_URL": f"{address}/api/v1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: AirbyteStub

    def do_GET(self) -> None:
        path, _ = self._request()
        if path == "/v1/streams":
            return self._answer(200, [{"streamName": name} for name in self.server.offered])
        return self._answer(200, {"data": list(self._listed(path.rsplit("/", 1)[-1]))})

    def do_POST(self) -> None:
        path, body = self._request()
        if path == "/v1/applications/token":
            return self._answer(200, {"access_token": "t", "expires_in": 900})
        if path == "/api/v1/connections/get":
            streams = self.server.workspace.catalogs.get(body["connectionId"], ())
            return self._answer(200, {"syncCatalog": {"streams": list(streams)}})
        if path == "/api/v1/state/get":
            return self._answer(200, {"streamState": _states(self.server.states)})
        self.server.sent.append(Sent(self.command, path, body))
        if refusal := self._refusal(path):
            return self._answer(*refusal)
        if self.command == "PATCH" and self.server.states_after_patch is not None:
            self.server.states = self.server.states_after_patch
        return self._answer(200, dict.fromkeys(_IDS, "new") | {"version": 2})

    do_PUT = do_PATCH = do_POST  # noqa: N815

    def _request(self) -> tuple[str, Any]:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return urlsplit(self.path).path, json.loads(content) if content else None

    def _listed(self, collection: str) -> Any:
        workspace: WorkspaceState = self.server.workspace
        return {
            "declarative_sources": workspace.definitions,
            "sources": workspace.sources,
            "destinations": workspace.destinations,
            "connections": workspace.connections,
        }[collection]

    def _refusal(self, path: str) -> tuple[int, dict[str, Any]] | None:
        for (method, beginning), refusal in self.server.refusals.items():
            if method == self.command and path.startswith(beginning):
                return refusal
        return None

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: what changes something is in `sent`."""


_IDS = ("id", "sourceId", "destinationId", "connectionId")


def _states(states: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"streamDescriptor": {"name": name}, "streamState": state} for name, state in states.items()
    ]


@contextmanager
def airbyte_stub() -> Iterator[AirbyteStub]:
    with running(AirbyteStub()) as server:
        yield server
