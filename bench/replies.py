"""A scripted REST vendor: answers each path with recorded bytes, so only the reader is measured."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from polygon_assets.local.launcher.ports import HOST


@contextmanager
def replies(answers: Mapping[str, bytes]) -> Iterator[str]:
    """Serve `answers` by path until the end of `with`; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name is the library's
            # The connector also requests weekends, which have no bars.
            body = answers.get(urlsplit(self.path).path, b'{"status": "OK"}')
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: a line per request would clutter the terminal."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
