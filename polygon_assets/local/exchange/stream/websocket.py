"""One WebSocket connection to the exchange: handshake, frames, statuses, and every kind of end.

Add handling of a connection here; choosing its events belongs to `feed`, which frames them once for
all connections.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as UpgradeRequest
from websockets.server import ServerProtocol

from polygon_assets.local.exchange.stream.subscriptions import Channels, status

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_CLOSE_SECONDS = 1.0
_MAX_CONNECTIONS = "Maximum number of websocket connections exceeded. "
_numbers = itertools.count(1)


class RequestMessage(msgspec.Struct):
    """A client's message."""

    action: str
    params: str = ""


def text_frame(payload: bytes) -> bytes:
    """The bytes of an unmasked text frame; the same for every connection."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


@dataclass
class Sent:
    """Counts of the frames, events and bytes written to one connection's socket."""

    frames: int = 0
    events: int = 0
    bytes: int = 0
    first_second: int | None = None
    last_second: int | None = None
    """The first and the last market second that were sent, in Unix seconds."""


@dataclass(eq=False)
class Connection:
    """A client after the handshake.

    Writes never block: unread bytes are buffered until the client counts as a slow consumer.
    """

    writer: asyncio.StreamWriter
    protocol: ServerProtocol
    buffer_bytes: int
    number: int = field(default_factory=lambda: next(_numbers))
    opened_at: float = field(default_factory=time.time)
    channels: Channels = field(default_factory=Channels)
    authenticated: bool = False
    sent: Sent = field(default_factory=Sent)
    end_reason: str = ""
    """The reason of the end; empty while the connection is open."""
    _partial: bytearray = field(default_factory=bytearray)

    @property
    def transport(self) -> asyncio.WriteTransport:
        return self.writer.transport

    def send_statuses(self, statuses: list[dict[str, str]]) -> None:
        if statuses:
            self.send_frame(text_frame(msgspec.json.encode(statuses)))

    def send_frame(self, frame: bytes, events: int = 0) -> None:
        """Write one frame; a client with too many unread bytes is closed, as the vendor does."""
        if self.end_reason or self.transport.is_closing():
            return
        self.transport.write(frame)
        self.sent.frames += 1
        self.sent.events += events
        self.sent.bytes += len(frame)
        if self.transport.get_write_buffer_size() > self.buffer_bytes:
            self.end_with(
                status(
                    "slow_consumer", "Your connection is being closed because it cannot keep up."
                ),
                1008,
            )

    def ping(self) -> None:
        if not self.end_reason:
            self.protocol.send_ping(b"")
            self.flush()

    def evict(self, abort: bool = False) -> None:
        """End a connection above the cap, with a status or abruptly."""
        if abort:
            self.abort("max_connections")
        else:
            self.end_with(status("max_connections", _MAX_CONNECTIONS), 1008)

    def end_with(self, last_status: dict[str, str], code: int) -> None:
        """Send a last status and close; does nothing if the connection has already ended."""
        if self.end_reason:
            return
        self.transport.write(text_frame(msgspec.json.encode([last_status])))
        self.close(code, last_status["status"])

    def close(self, code: int, reason: str = "") -> None:
        """Close with a close frame; 1006, which cannot be sent, cuts the connection instead."""
        if self.end_reason:
            return
        if code == 1006:
            self.abort(reason)
            return
        self.end_reason = reason or f"close {code}"
        if self.protocol.state.name == "OPEN":
            self.protocol.send_close(code, reason)
            self.flush()
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self.transport.abort)

    def abort(self, reason: str = "") -> None:
        """Cut the TCP connection without a close frame."""
        self.end_reason = self.end_reason or reason or "drop"
        self.transport.abort()

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.transport.write(data)
            elif not self.transport.is_closing():
                self.end_reason = self.end_reason or "closed by the client"
                self.transport.write_eof()

    async def messages(self, reader: asyncio.StreamReader) -> list[bytes] | None:
        """The messages completed by the next bytes; None when the connection has ended."""
        data = await reader.read(1 << 16)
        if not data:
            return None
        self.protocol.receive_data(data)
        self.flush()
        messages = []
        for frame in (cast(Frame, event) for event in self.protocol.events_received()):
            if frame.opcode in _DATA:
                self._partial += frame.data
                if frame.fin:
                    messages.append(bytes(self._partial))
                    self._partial.clear()
        return messages

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "opened_at": self.opened_at,
            "authenticated": self.authenticated,
            "channels": sorted(self.channels.confirmed),
            "buffered_bytes": self.transport.get_write_buffer_size(),
            "ended": self.end_reason,
            "sent": vars(self.sent),
        }


def accept(writer: asyncio.StreamWriter, head: bytes, buffer_bytes: int) -> Connection | None:
    """Answer a handshake; None if the request is not a valid handshake."""
    protocol = ServerProtocol(max_size=1 << 22)
    protocol.receive_data(head)
    request = next(
        (event for event in protocol.events_received() if isinstance(event, UpgradeRequest)), None
    )
    if request is None:
        return None
    protocol.send_response(protocol.accept(request))
    connection = Connection(writer, protocol, buffer_bytes)
    connection.flush()
    return connection if protocol.state.name == "OPEN" else None
