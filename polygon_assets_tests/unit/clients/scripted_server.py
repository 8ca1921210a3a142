"""An HTTP server that answers requests from a script, to test retries and errors of a client.

Requests and answers belong to the tests; answers by path belong to processes/vendor_by_path.
"""

import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from polygon_assets_tests.http_server import running

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, body (bytes are sent unchanged, anything else as JSON) and headers."""


class Call(NamedTuple):
    """A request that was answered."""

    method: str
    path: str
    token: str


class ScriptedServer(http.server.ThreadingHTTPServer):
    """Answers from `script`, in order; a request beyond its end gets no answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Answer] = []
        self.calls: list[Call] = []

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.server.calls.append(Call(self.command, self.path, token))
        status, content, *headers = self.server.script.pop(0)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in [
            ("Content-Length", str(len(body))),
            *(headers[0].items() if headers else ()),
        ]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Log nothing: requests are in `calls`."""


@contextmanager
def serving() -> Iterator[ScriptedServer]:
    with running(ScriptedServer()) as server:
        yield server
