"""A small HTTP/1.1: reads a request, writes a reply, as an API server on 127.0.0.1 needs it.

Add HTTP parsing here; routes belong to `rest`, WebSockets to `stream`, which gets the unparsed head
of an upgrade request.
"""

import asyncio
import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

_LONGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    """A request; `headers` have lower-case names, `query` has the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    head: bytes

    @property
    def upgrades(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"

    def json(self) -> dict[str, Any]:
        """The body as an object; {} without a body. Raises ValueError."""
        content = json.loads(self.body) if self.body else {}
        if not isinstance(content, dict):
            raise ValueError("the body must be a JSON object")
        return content


@dataclass(frozen=True)
class Reply:
    """A status, a body (bytes, or an object for JSON) and further headers."""

    status: int = 200
    content: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def prepared(self) -> "Reply":
        """The same reply with an encoded body; the encoding of 50,000 bars takes long."""
        return replace(self, content=self._body())

    def encoded(self) -> bytes:
        body = self._body()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        } | self.headers
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def _body(self) -> bytes:
        return (
            self.content if isinstance(self.content, bytes) else msgspec.json.encode(self.content)
        )


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request, or None when the client has left. Raises ValueError for invalid HTTP."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise ValueError("head too long") from error
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _version = first.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _LONGEST_BODY:
        raise ValueError("body too long")
    body = await reader.readexactly(length)
    parts = urlsplit(target)
    return Request(method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body, head)
