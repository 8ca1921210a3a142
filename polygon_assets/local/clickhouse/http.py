"""ClickHouse's HTTP interface: authentication, headers, status codes, streamed bodies.

What a statement does belongs to `execution`; here a request comes in and an answer goes out.
"""

import json
import logging
import secrets
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from polygon_assets.local.clickhouse.compression import Compressor, compressor_for
from polygon_assets.local.clickhouse.engine import Engine
from polygon_assets.local.clickhouse.errors import ClickHouseError, TruncatedBodyError
from polygon_assets.local.clickhouse.execution import Answer, execute, forget_settings
from polygon_assets.local.clickhouse.request import Request, read_request

logger = logging.getLogger(__name__)
_MAX_SESSION_SECONDS = 3600  # ClickHouse's max_session_timeout


class ClickHouseServer(ThreadingHTTPServer):
    """One thread a connection. Raises OSError when the address is taken."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, engine: Engine, user: str, password: str) -> None:
        self.engine = engine
        self.user = user
        self.password = password
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: ClickHouseServer
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without these, each small answer waits 40 ms for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = 65536

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/ping" or (path.path == "/" and not path.query):
            self._send(200, {"Content-Type": "text/html; charset=UTF-8"}, b"Ok.\n")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        try:
            request = read_request(urlsplit(self.path).query, self.headers, self.rfile)
            self._check_credentials(request)
            self._answer(request)
        except ClickHouseError as error:
            self._send_error(error)
        except TruncatedBodyError as error:
            # Nothing was given to the engine, and nobody is there to read an answer.
            logger.warning("request dropped: %s", error)
            self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            logger.info("the client went away before the end of its answer")
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        logger.debug(format, *args)

    def _check_credentials(self, request: Request) -> None:
        user, password = request.credentials
        expected = (self.server.user.encode(), self.server.password.encode())
        right = [secrets.compare_digest(given.encode(), wanted) for given, wanted in zip((user, password), expected, strict=True)]
        if not all(right):
            message = f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
            raise ClickHouseError.refused(516, "AUTHENTICATION_FAILED", message)

    def _answer(self, request: Request) -> None:
        parameters = request.parameters
        session_id = parameters.get("session_id", "")
        with self.server.engine.connection(
            session_id,
            timeout_seconds=min(float(parameters.get("session_timeout") or 60), _MAX_SESSION_SECONDS),
            must_exist=parameters.get("session_check") == "1",
        ) as connection:
            try:
                answer = execute(connection, request)
                self._send_answer(request, answer)
            finally:
                if session_id:
                    forget_settings(connection, request)

    def _send_answer(self, request: Request, answer: Answer) -> None:
        encoding, compressor = compressor_for(request.accepted_encodings)
        headers = {"X-ClickHouse-Query-Id": request.parameters.get("query_id") or str(uuid.uuid4()), "X-ClickHouse-Timezone": "UTC"}
        headers |= {"X-ClickHouse-Format": answer.format} if answer.format else {}
        headers |= {"Content-Encoding": encoding} if encoding else {}
        if answer.summary:
            headers["X-ClickHouse-Summary"] = json.dumps(answer.summary)
            body = b"".join(compressor.compress(chunk) for chunk in answer.chunks) + compressor.flush()
            self._send(200, headers, body)
        else:
            self._send_stream(headers, compressor, answer.chunks)

    def _send_stream(self, headers: dict[str, str], compressor: Compressor, chunks: Iterator[bytes]) -> None:
        """The status is gone by the time an error shows up: ClickHouse then ends the body with a tagged exception block."""
        tag = secrets.token_hex(8)
        self._send_head(200, headers | {"Transfer-Encoding": "chunked", "X-ClickHouse-Exception-Tag": tag})
        try:
            for chunk in chunks:
                self._send_chunk(compressor.compress(chunk))
        except ClickHouseError as error:
            logger.info("%s", error)
            text = f"{error}\n"
            block = f"\r\n__exception__\r\n{tag}\r\n{text}{len(text.encode())} {tag}\r\n__exception__\r\n"
            self._send_chunk(compressor.compress(block.encode()))
        self._send_chunk(compressor.flush())
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send_error(self, error: ClickHouseError) -> None:
        logger.info("%s", error)
        # The body may not have been read to its end: the connection cannot be used again.
        self.close_connection = True
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "Content-Type": "text/plain; charset=UTF-8", "Connection": "close"}
        self._send(error.status, headers, f"{error}\n".encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._send_head(status, headers | {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
