"""One HTTP request as ClickHouse understands it: statement, settings, parameters, session, credentials.

Reading the socket and the form encodings belongs here; nothing is executed here.
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

from polygon_assets.local.clickhouse.compression import decompress
from polygon_assets.local.clickhouse.errors import ClickHouseError, TruncatedBodyError

# A body is held in memory until it is complete: a truncated one must insert nothing. Our sink sends at most 50,000 rows, about 10 MB.
MAX_BODY_BYTES = 512 * 1024 * 1024
_QUERY_PARAMETER = "param_"
# URL parameters that address the HTTP handler; every other one is a setting of the query.
_NOT_SETTINGS = {
    "query", "database", "default_format", "user", "password", "session_id", "session_timeout", "session_check", "query_id", "quota_key",
    "role", "stacktrace", "compress", "decompress", "buffer_size", "wait_end_of_query", "client_protocol_version",
    "enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
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
            name: value for name, value in self.parameters.items() if name not in _NOT_SETTINGS and not name.startswith(_QUERY_PARAMETER)
        }

    @property
    def query_parameters(self) -> dict[str, str]:
        return {name.removeprefix(_QUERY_PARAMETER): value for name, value in self.parameters.items() if name.startswith(_QUERY_PARAMETER)}

    @property
    def database(self) -> str:
        return self.parameters.get("database") or self.headers.get("X-ClickHouse-Database") or ""

    @property
    def default_format(self) -> str:
        return self.parameters.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"

    @property
    def waits_for_end(self) -> bool:
        return self.parameters.get("wait_end_of_query") == "1"

    @property
    def accepted_encodings(self) -> str:
        return (self.headers.get("Accept-Encoding") or "") if self.parameters.get("enable_http_compression") == "1" else ""

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password from Basic authentication, X-ClickHouse-User/-Key or the URL, in ClickHouse's order."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = b64decode(token, validate=True).decode().partition(":")
            except (Base64Error, UnicodeDecodeError):
                return "", ""
            return user, password
        if "X-ClickHouse-User" in self.headers:
            return self.headers["X-ClickHouse-User"], self.headers.get("X-ClickHouse-Key", "")
        return self.parameters.get("user", "default"), self.parameters.get("password", "")


def read_request(url_query: str, headers: Message, body: BufferedIOBase) -> Request:
    """Raises TruncatedBodyError when the body is shorter than announced, ClickHouseError when it cannot be understood."""
    parameters = dict(parse_qsl(url_query, keep_blank_values=True))
    for name in ("compress", "decompress"):
        if parameters.get(name) == "1":
            raise ClickHouseError.refused(48, "NOT_IMPLEMENTED", f"{name}=1 (blocks in ClickHouse's own compression) is not supported here")
    content = decompress(_read_body(headers, body), headers.get("Content-Encoding", ""))
    if headers.get_content_type() == "multipart/form-data":
        parameters |= _form_fields(headers["Content-Type"], content)
        content = b""
    query = parameters.get("query", "").encode()
    return Request(parameters, headers, query + b"\n" + content if query and content else query or content)


def _read_body(headers: Message, body: BufferedIOBase) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return _read_chunks(body)
    return _read_exactly(body, int(headers.get("Content-Length") or 0))


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
        raise ClickHouseError.refused(307, "TOO_MANY_BYTES", f"a body may have {MAX_BODY_BYTES} bytes here")
    data = body.read(size)
    if len(data) < size:
        raise TruncatedBodyError(f"{size} bytes announced, {len(data)} came")
    return data


def _form_fields(content_type: str, content: bytes) -> dict[str, str]:
    """Text fields of a multipart form: how clients send parameters that are too long for a URL."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + content)
    fields = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise ClickHouseError.refused(48, "NOT_IMPLEMENTED", "external data is not supported here")
        payload = part.get_payload(decode=True)
        fields[str(part.get_param("name", header="content-disposition"))] = payload.decode() if isinstance(payload, bytes) else ""
    return fields
