"""A vendor whose answers depend on the requested path, for readers with requests in parallel.

Answers in a fixed order belong to unit/clients/scripted_server.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from polygon_assets_tests.http_server import running


class Vendor(ThreadingHTTPServer):
    """Answers by the longest matching prefix, its answers one by one, the last one for ever.

    An answer is a body, sent with status 200, or a tuple of status, Location and maybe a body.
    """

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {path: list(bodies) for path, bodies in answers.items()}
        self.requests: list[tuple[str, str]] = []
        """Path with query, and the Authorization header."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def request_count(self, path: str) -> int:
        """The number of requests for this path, with any query."""
        return sum(target.partition("?")[0].startswith(path) for target, _ in self.requests)


class _Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization", "")))
        prefix = max((path for path in self.server.answers if self.path.startswith(path)), key=len)
        bodies = self.server.answers[prefix]
        body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        status, location, *contents = body if isinstance(body, tuple) else (200, "", body)
        content = contents[0] if contents else b""
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After", "1")
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: requests are in `requests`."""


@contextmanager
def serving(answers: dict[str, list[Any]]) -> Iterator[Vendor]:
    """Run a vendor until the end of `with`."""
    with running(Vendor(answers)) as server:
        yield server
