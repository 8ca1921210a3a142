"""Serves /healthz, /readyz and /metrics of a stream program from threads beside its loop.

Add a path here; what is exported belongs to `metrics`, what alive and ready mean to
`inspection.health`. Every answer is computed from the last heartbeat, without asking another
system, and no failure of an answer reaches the program.
"""

import datetime as dt
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from polygon_assets.inspection.health import liveness_problem, readiness_problem
from polygon_assets.inspection.probe import ALIVE, METRICS, READY, metrics_port
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings, SettingsError
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.metrics import registry_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_SECONDS = 5.0
"""A client that sends or takes nothing for this long is dropped: it would keep a thread."""
POLL_SECONDS = 0.1
"""The end of the program waits this long for the server to notice."""

Probe = Callable[[Heartbeat, dt.datetime, Settings], str]
PROBES: Mapping[str, Probe] = {ALIVE: liveness_problem, READY: readiness_problem}

_log = logging.getLogger("metrics")


class MetricsAddressError(SettingsError):
    """METRICS_HOST and METRICS_PORT name an address on which this program cannot listen."""


@contextmanager
def serving(settings: Settings, publisher: HeartbeatPublisher) -> Iterator[None]:
    """Answer until the block ends, if METRICS_PORT is set. Raises MetricsAddressError."""
    program = publisher.beat.program
    port = metrics_port(settings, program)
    if not port:
        yield
        return
    try:
        server = _listen(settings.metrics_host, port, _application(settings, publisher))
    except OSError as error:
        raise MetricsAddressError(
            f"METRICS_PORT={settings.metrics_port}: the {program} cannot listen on "
            f"{settings.metrics_host}:{port} ({error.strerror or error}); end the program that "
            "listens there, correct METRICS_HOST or METRICS_PORT, or set METRICS_PORT=0 to serve "
            "nothing"
        ) from error
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_SECONDS,), name="metrics", daemon=True
    )
    thread.start()
    _log.info("%s serves http://%s:%d%s", program, settings.metrics_host, port, METRICS)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _application(settings: Settings, publisher: HeartbeatPublisher) -> "WSGIApplication":
    def newest() -> Heartbeat:
        return publisher.published

    metrics = make_wsgi_app(registry_of(publisher.beat.program, newest, settings))

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == METRICS:
            content: Iterable[bytes] = metrics(environ, start_response)
            return content
        if path in PROBES:
            beat = newest()
            problem = PROBES[path](beat, dt.datetime.now(dt.UTC), settings)
            status = "503 Service Unavailable" if problem else "200 OK"
            text = f"{beat.program}: {problem or beat.state}"
        else:
            status, text = "404 Not Found", f"paths: {ALIVE}, {READY}, {METRICS}"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return answer


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, *_: Any) -> None:
        """No line per scrape."""


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        """Without the library's look-up of the host's name, which may take many seconds."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def handle_error(self, _request: Any, client_address: Any) -> None:
        _log.warning("a request from %s was not answered", client_address[0], exc_info=True)


def _listen(host: str, port: int, application: "WSGIApplication") -> _Server:
    """A server that listens, for IPv4 or IPv6. Raises OSError."""
    [(family, *_), *_] = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )

    class Server(_Server):
        address_family = family

    return make_server(host, port, application, Server, _Handler)
