"""One HTTP request to ClickHouse: statement, settings, parameters, session, credentials.

Add the reading of the socket and of form encodings here; executing the statement belongs to
`execution`.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from io import BufferedIOBase
from urllib.parse import parse_qsl

from polygon_assets.local.clickhouse.blocks import decompress_blocks
from polygon_assets.local.clickhouse.compression import decompress
from polygon_assets.local.clickhouse.errors import ClickHouseError, TruncatedBodyError
from polygon_assets.local.clickhouse.statement import format_name

# A body stays in memory until it is complete, because a truncated body must insert nothing. The
# sink sends at most 50,000 rows, about 10 MB.
MAX_BODY_BYTES = 512 * 1024 * 1024
_QUERY_PARAMETER = "param_"
_MAX_SESSION_SECONDS = 3600  # ClickHouse's max_session_timeout
_TRUE = {"1", "true"}
# URL parameters of the HTTP handler; every other parameter is a setting of the query.
_NOT_SETTINGS = {
    "query", "database", "default_format", "user", "password", "session_id", "session_timeout",
    "session_check", "query_id", "quota_key", "role", "stacktrace", "compress", "decompress",
    "buffer_size", "wait_end_of_query", "client_protocol_version", "enable_http_compression",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """URL parameters (form fields included), headers, and the statement with its data."""

    parameters: Mapping[str, str]
    headers: Message
    sql: bytes

    @property
    def settings(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in _NOT_SETTINGS and not name.startswith(_QUERY_PARAMETER)
        }

    @property
    def query_parameters(self) -> dict[str, str]:
        return {
            name.removeprefix(_QUERY_PARAMETER): value
            for name, value in self.parameters.items()
            if name.startswith(_QUERY_PARAMETER)
        }

    @property
    def database(self) -> str:
        return self.parameters.get("database") or self.headers.get("X-ClickHouse-Database") or ""

    @property
    def default_format(self) -> str:
        name = (
            self.parameters.get("default_format")
            or self.headers.get("X-ClickHouse-Format")
            or "TabSeparated"
        )
        return format_name(name)

    @property
    def query_id(self) -> str:
        """The id that the client gave, or empty."""
        return self.parameters.get("query_id") or self.headers.get("X-ClickHouse-Query-Id") or ""

    @property
    def native_revision(self) -> int:
        return _whole_number(self.parameters, "client_protocol_version", 0, 36, "BAD_ARGUMENTS")

    @property
    def session_seconds(self) -> int:
        """The session's timeout. Raises ClickHouseError 374 for more than the server allows."""
        seconds = _whole_number(
            self.parameters, "session_timeout", 60, 374, "INVALID_SESSION_TIMEOUT"
        )
        if seconds > _MAX_SESSION_SECONDS:
            message = (
                f"Session timeout '{seconds}' is larger than max_session_timeout: "
                f"{_MAX_SESSION_SECONDS}."
            )
            raise ClickHouseError.refused(374, "INVALID_SESSION_TIMEOUT", message)
        return seconds

    @property
    def buffer_bytes(self) -> int:
        return _whole_number(self.parameters, "buffer_size", 0, 36, "BAD_ARGUMENTS")

    @property
    def waits_for_end(self) -> bool:
        return is_on(self.parameters, "wait_end_of_query")

    @property
    def wants_blocks(self) -> bool:
        """Whether the client wants the answer in ClickHouse's own block compression."""
        return is_on(self.parameters, "compress")

    @property
    def accepted_encodings(self) -> str:
        return (
            (self.headers.get("Accept-Encoding") or "")
            if is_on(self.parameters, "enable_http_compression")
            else ""
        )

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password from Basic authentication, X-ClickHouse-User/-Key or the URL.

        Raises ClickHouseError 516, as the real server does, when a request uses two of these ways.
        """
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        in_headers = any(name in self.headers for name in ("X-ClickHouse-User", "X-ClickHouse-Key"))
        in_url = any(name in self.parameters for name in ("user", "password"))
        if (scheme != "") + in_headers + in_url > 1:
            raise ClickHouseError.refused(
                516,
                "AUTHENTICATION_FAILED",
                "Invalid authentication: it is not allowed to use Authorization HTTP header, "
                "X-ClickHouse HTTP headers and authentication via parameters simultaneously",
            )
        if scheme.lower() == "basic":
            return _basic_credentials(token)
        if in_headers:
            return self.headers.get("X-ClickHouse-User", "default"), self.headers.get(
                "X-ClickHouse-Key", ""
            )
        return self.parameters.get("user", "default"), self.parameters.get("password", "")


def is_on(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "").lower() in _TRUE


def read_parameters(url_query: str) -> dict[str, str]:
    """The URL's parameters; for a repeated name the last setting counts, but the first of the rest.

    The real server does the same.
    """
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(url_query, keep_blank_values=True):
        if name not in parameters or name not in _NOT_SETTINGS:
            parameters[name] = value
    return parameters


def _basic_credentials(token: str) -> tuple[str, str]:
    try:
        user, _, password = b64decode(token, validate=True).decode().partition(":")
    except (Base64Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _whole_number(
    parameters: Mapping[str, str], name: str, default: int, code: int, error_name: str
) -> int:
    """A parameter as a whole number. Raises ClickHouseError with this code and name."""
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise ClickHouseError.refused(
            code, error_name, f"{name} must be a whole number, not {text!r}"
        )
    return int(text)


def read_request(url_query: str, headers: Message, body: BufferedIOBase) -> Request:
    """Read a request.

    Raises TruncatedBodyError for a body shorter than announced, and ClickHouseError for a body that
    cannot be parsed.
    """
    parameters = read_parameters(url_query)
    content = decompress(_read_body(headers, body), headers.get("Content-Encoding", ""))
    if headers.get_content_type() == "multipart/form-data":
        parameters |= _form_fields(headers["Content-Type"], content)
        content = b""
    if is_on(parameters, "decompress"):
        content = decompress_blocks(content, MAX_BODY_BYTES)
    if "role" in parameters:
        message = f"There is no role `{parameters['role']}`: this server has no roles"
        raise ClickHouseError.refused(511, "UNKNOWN_ROLE", message)
    query = parameters.get("query", "").encode()
    return Request(
        parameters, headers, query + b"\n" + content if query and content else query or content
    )


def _read_body(headers: Message, body: BufferedIOBase) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return _read_chunks(body)
    length = headers.get("Content-Length") or "0"
    if not (length.isascii() and length.isdigit()):
        raise ClickHouseError.refused(
            36, "BAD_ARGUMENTS", f"Content-Length must be a whole number, not {length!r}"
        )
    return _read_exactly(body, int(length))


def _read_chunks(body: BufferedIOBase) -> bytes:
    chunks = bytearray()
    while size := _chunk_size(body.readline(1024)):
        chunks += _read_exactly(body, size, len(chunks))
        _read_exactly(body, 2)
    while body.readline(65536).strip():
        pass  # trailers
    return bytes(chunks)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise TruncatedBodyError("the chunked body ends before its last chunk") from None


def _read_exactly(body: BufferedIOBase, size: int, already: int = 0) -> bytes:
    if size + already > MAX_BODY_BYTES:
        raise ClickHouseError.refused(
            307, "TOO_MANY_BYTES", f"a body may have at most {MAX_BODY_BYTES} bytes here"
        )
    data = body.read(size)
    if len(data) < size:
        raise TruncatedBodyError(f"the client announced {size} bytes and sent {len(data)}")
    return data


def _form_fields(content_type: str, content: bytes) -> dict[str, str]:
    """The text fields of a multipart form, in which clients send parameters too long for a URL."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + content
    )
    fields = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise ClickHouseError.refused(
                48, "NOT_IMPLEMENTED", "external data is not supported here"
            )
        payload = part.get_payload(decode=True)
        fields[str(part.get_param("name", header="content-disposition"))] = (
            payload.decode() if isinstance(payload, bytes) else ""
        )
    return fields
