"""ClickHouse's HTTP interface: paths, authentication, headers, status codes, streamed bodies.

Add the handling of HTTP here; parsing a request belongs to `request`, executing its statement
belongs to `execution`.
"""

import json
import logging
import secrets
import select
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import SpooledTemporaryFile
from urllib.parse import urlsplit

from polygon_assets.local.clickhouse.blocks import BlockCompressor
from polygon_assets.local.clickhouse.compression import Compressor, compressor_for
from polygon_assets.local.clickhouse.engine import Engine
from polygon_assets.local.clickhouse.errors import ClickHouseError, TruncatedBodyError
from polygon_assets.local.clickhouse.execution import Answer, Execution
from polygon_assets.local.clickhouse.formats import content_type
from polygon_assets.local.clickhouse.request import Request, read_request
from polygon_assets.local.clickhouse.running_query import ClientGoneError

logger = logging.getLogger(__name__)
# As the real server's buffer: an error within these first bytes still gets its own HTTP status.
_BUFFER_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_MAX_EXCEPTION_CHARACTERS = 15_000  # the exception block at the end of a body has at most 16 KiB
_PLAIN_TEXT = "text/plain; charset=UTF-8"
_EXPOSED_HEADERS = (
    "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,"
    "X-ClickHouse-Format,X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,"
    "X-ClickHouse-Exception-Tag"
)
# The http_options_response of the real server's default configuration.
_OPTIONS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": (
        "origin, x-requested-with, x-clickhouse-format, x-clickhouse-user, x-clickhouse-key, "
        "Authorization"
    ),
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
    "Access-Control-Max-Age": "86400",
}


@dataclass(frozen=True)
class Users:
    """Who may send queries; `reader` ("" for nobody) has the same password and changes nothing."""

    writer: str
    reader: str
    password: str

    def accept(self, name: str, password: str) -> bool:
        is_known = name in {self.writer, self.reader} - {""}
        return is_known and secrets.compare_digest(password.encode(), self.password.encode())


class ClickHouseServer(ThreadingHTTPServer):
    """The HTTP server, with one thread per connection. Raises OSError when the address is taken."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        host: str,
        port: int,
        engine: Engine,
        users: Users,
        problem: Callable[[], str],
    ) -> None:
        """`problem` returns why the engine is ill, or ""."""
        self.engine = engine
        self.users = users
        self.problem = problem
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error; a client may leave at any moment, even while the last bytes are sent."""
        if isinstance(sys.exc_info()[1], ConnectionError):
            logger.info("the client closed its connection before the end of its answer")
        else:
            logger.exception("the request of %s failed: %s", client_address, request)


@dataclass
class _Encoding:
    """The encodings of one answer: ClickHouse's blocks inside, HTTP's content encoding outside."""

    name: str
    outer: Compressor
    inner: BlockCompressor | None

    def compress(self, data: bytes) -> bytes:
        return self.outer.compress(self.inner.compress(data) if self.inner else data)

    def flush(self) -> bytes:
        last = self.outer.compress(self.inner.flush()) if self.inner else b""
        return last + self.outer.flush()


class _Handler(BaseHTTPRequestHandler):
    server: ClickHouseServer
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without these two settings, each small answer would wait 40 ms
    # for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = 65536

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/ping":
            self._ping("Ok.\n")
        elif url.path == "/" and not url.query:
            self._send(200, {"Content-Type": "text/html; charset=UTF-8"}, b"Ok.\n")
        elif url.path == "/replicas_status":
            self._ping("Ok.\n")  # without replicated tables no replica can lag
        else:
            self.do_POST()

    do_HEAD = do_GET  # noqa: N815  # the name is http.server's

    def do_OPTIONS(self) -> None:
        self.close_connection = True
        self._send(204, _OPTIONS_HEADERS | {"Connection": "close"}, b"")

    def do_POST(self) -> None:
        try:
            self._serve_query()
        except TruncatedBodyError as error:
            # The engine has received nothing, and no client is left to read an answer.
            logger.warning("request dropped: %s", error)
            self.close_connection = True
        except (ClientGoneError, BrokenPipeError, ConnectionResetError):
            logger.info("the client closed its connection before the end of its answer")
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        logger.debug(format, *args)

    def _ping(self, healthy_text: str) -> None:
        problem = self.server.problem()
        status, text = (503, f"{problem}\n") if problem else (200, healthy_text)
        self._send(status, {"Content-Type": "text/html; charset=UTF-8"}, text.encode())

    def _serve_query(self) -> None:
        url = urlsplit(self.path)
        request = None
        try:
            if url.path not in ("/", "/query"):
                self._send_not_found(url.path)
                return
            request = read_request(url.query, self.headers, self.rfile)
            self._check_credentials(request)
        except ClickHouseError as error:
            self._send_error(error, str(uuid.uuid4()), in_blocks=False)
            return
        self._answer(request)

    def _check_credentials(self, request: Request) -> None:
        if not self.server.users.accept(*request.credentials):
            message = (
                f"{request.credentials[0]}: Authentication failed: password is incorrect, or "
                "there is no user with such name."
            )
            raise ClickHouseError.refused(516, "AUTHENTICATION_FAILED", message)

    def _answer(self, request: Request) -> None:
        query_id = request.query_id or str(uuid.uuid4())
        is_reader = request.credentials[0] == self.server.users.reader
        execution = Execution(
            self.server.engine,
            request,
            self._client_is_gone,
            is_reader or self.command in ("GET", "HEAD"),
            query_id,
        )
        head_sent = False
        try:
            with (
                execution.answer() as answer,
                SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as buffer,
            ):
                encoding = _encoding(request)
                complete = _fill_buffer(answer.chunks, encoding, request, buffer)
                headers = _answer_headers(answer, encoding)
                buffer.seek(0)
                head_sent = True
                if complete:
                    self._send_buffer(headers, buffer)
                else:
                    self._send_stream(headers, encoding, buffer, answer.chunks)
        except ClickHouseError as error:
            if head_sent:
                raise
            self._send_error(error, query_id, in_blocks=request.wants_blocks)

    def _client_is_gone(self) -> bool:
        """Whether the client has closed its side of the connection and waits for no answer."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _send_buffer(self, headers: dict[str, str], buffer: "SpooledTemporaryFile[bytes]") -> None:
        size = buffer.seek(0, 2)
        buffer.seek(0)
        self._send_head(200, headers | {"Content-Length": str(size)})
        if self.command != "HEAD":
            shutil.copyfileobj(buffer, self.wfile, _BUFFER_BYTES)

    def _send_stream(
        self,
        headers: dict[str, str],
        encoding: _Encoding,
        buffer: "SpooledTemporaryFile[bytes]",
        chunks: Iterator[bytes],
    ) -> None:
        """Send an answer while it grows.

        The status is already sent when a late error occurs, so ClickHouse ends the body with a
        tagged exception block. The last chunk is then missing, so that no client mistakes the
        partial body for a complete one.
        """
        tag = secrets.token_hex(8)
        chunked = self.request_version != "HTTP/1.0"
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
        self._send_head(200, headers | framing | {"X-ClickHouse-Exception-Tag": tag})
        if self.command == "HEAD":
            return
        self._send_part(buffer.read(), chunked)
        try:
            for chunk in chunks:
                self._send_part(encoding.compress(chunk), chunked)
        except ClickHouseError as error:
            logger.info("%.500s", error)
            self._send_part(
                encoding.compress(_exception_block(error, tag)) + encoding.flush(), chunked
            )
            self.close_connection = True
            return
        self._send_part(encoding.flush(), chunked)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send_part(self, data: bytes, chunked: bool) -> None:
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    def _send_not_found(self, path: str) -> None:
        self.close_connection = True
        text = (
            f"There is no handle {path}\n\nUse / or /ping for health checks.\n"
            "Or /replicas_status for more sophisticated health checks.\n"
        )
        self._send(404, {"Content-Type": _PLAIN_TEXT, "Connection": "close"}, text.encode())

    def _send_error(self, error: ClickHouseError, query_id: str, *, in_blocks: bool) -> None:
        """Send an error, in blocks if the answer had to be: clients decompress before any check."""
        logger.info("%.500s", error)
        # The request's body may not have been read to its end, so the connection is not reusable.
        self.close_connection = True
        headers = {
            "X-ClickHouse-Exception-Code": str(error.code),
            "Content-Type": _PLAIN_TEXT,
            "Connection": "close",
        }
        body = f"{error}\n".encode()
        if in_blocks:
            blocks = BlockCompressor()
            body = blocks.compress(body) + blocks.flush()
        self._send(error.status, _common_headers(query_id) | headers, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._send_head(status, headers | {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _encoding(request: Request) -> _Encoding:
    name, outer = compressor_for(request.accepted_encodings)
    return _Encoding(name, outer, BlockCompressor() if request.wants_blocks else None)


def _fill_buffer(
    chunks: Iterator[bytes],
    encoding: _Encoding,
    request: Request,
    buffer: "SpooledTemporaryFile[bytes]",
) -> bool:
    """Buffer the answer's beginning, or all of it if requested; true if the answer is complete."""
    limit = max(_BUFFER_BYTES, request.buffer_bytes)
    for chunk in chunks:
        buffer.write(encoding.compress(chunk))
        if buffer.tell() >= limit and not request.waits_for_end:
            return False
    buffer.write(encoding.flush())
    return True


def _answer_headers(answer: Answer, encoding: _Encoding) -> dict[str, str]:
    headers = _common_headers(answer.query_id) | {
        "X-ClickHouse-Summary": json.dumps(answer.summary())
    }
    headers["X-ClickHouse-Timezone"] = answer.time_zone
    headers["Content-Type"] = content_type(answer.format) if answer.format else _PLAIN_TEXT
    headers |= {"X-ClickHouse-Format": answer.format} if answer.format else {}
    return headers | ({"Content-Encoding": encoding.name} if encoding.name else {})


def _common_headers(query_id: str) -> dict[str, str]:
    return {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Server-Display-Name": "embedded",
        "X-ClickHouse-Timezone": "UTC",
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
    }


def _exception_block(error: ClickHouseError, tag: str) -> bytes:
    text = f"{str(error)[:_MAX_EXCEPTION_CHARACTERS]}\n"
    trailer = f"{len(text.encode())} {tag}"
    return f"\r\n__exception__\r\n{tag}\r\n{text}{trailer}\r\n__exception__\r\n".encode()
