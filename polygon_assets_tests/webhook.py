"""A webhook on a free port: keeps the texts that it accepts, and refuses or hangs on demand.

What is sent when belongs to the tests.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook:
    """The server's address, and what it received."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/hook"
        self.texts: list[str] = []
        """The accepted texts, oldest first."""
        self.status = 200
        self.refuses = ""
        """A text with this part is answered with HTTP 400."""
        self.hangs = threading.Event()
        """While set, no request is answered."""
        self._released = threading.Event()

    def of(self, title: str) -> list[str]:
        """The texts of one alert, such as `lag (sink)`."""
        return [text for text in self.texts if text.startswith(f"alert {title} ")]

    def take(self, body: bytes) -> int:
        """Receive a request; the status to answer."""
        if self.hangs.is_set():
            self._released.wait(60)
            return 503
        text = json.loads(body)["text"]
        if self.refuses and self.refuses in text:
            return 400
        if self.status == 200:
            self.texts.append(text)
        return self.status

    def release(self) -> None:
        """Answer the requests that hang."""
        self._released.set()


@contextmanager
def running_webhook() -> Iterator[Webhook]:
    """The server, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = webhook.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its failure."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook = Webhook(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield webhook
    finally:
        webhook.release()
        server.shutdown()
        thread.join()
        server.server_close()
