"""A vendor whose answers depend on the path that is asked, for readers that ask several things at once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from polygon_assets_tests.http_server import running


class Vendor(ThreadingHTTPServer):
    """Answers by path: the answers of the longest prefix one after the other, the last one for ever."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {path: list(bodies) for path, bodies in answers.items()}
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def requests(self, path: str) -> int:
        """How many were asked for this path, whatever the query."""
        return sum(asked.partition("?")[0].startswith(path) for asked, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        prefix = max((path for path in self.server.answers if self.path.startswith(path)), key=len)
        bodies = self.server.answers[prefix]
        body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        status, location = body if isinstance(body, tuple) else (200, "")
        content = (
            b""
            if isinstance(body, tuple)
            else body
            if isinstance(body, bytes)
            else json.dumps(body).encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After", "1")
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Requests are in `asked`."""


@contextmanager
def serving(answers: dict[str, list[Any]]) -> Iterator[Vendor]:
    """A vendor that runs until the end of `with`."""
    with running(Vendor(answers)) as server:
        yield server
