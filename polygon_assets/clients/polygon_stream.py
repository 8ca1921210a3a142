"""One WebSocket connection to the vendor: how it is opened, authenticated and ended.

Add a way in which a connection ends here; what is requested and read belongs to
`streaming.producer`, the meaning of the vendor's answer to the key to `polygon_login`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from polygon_assets.clients import polygon_login, tls
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.events.vendor_channels import Frame, Status, read_frame
from polygon_assets.settings import Settings

LARGEST_FRAME_BYTES = 16 * 1024 * 1024
"""The library's default of 1 MiB closes the connection on a frame of a busy second of A.*."""
HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 3.0
SUBSCRIBED = "subscribed to: "
UNSUBSCRIBED = "unsubscribed to: "
REFUSALS = ("error", "not_authorized")
"""Statuses of a refused subscription; they name no channel."""
MOST_QUOTED = 200
"""Bytes of an unreadable answer that the error shows."""


class ConnectionLostError(PolygonAssetsError):
    """This connection has ended; the message names the cause. The next one may be opened."""


class TooManyConnectionsError(ConnectionLostError):
    """Another process has the account's connection; reconnecting at once would evict it."""


@asynccontextmanager
async def open_connection(
    settings: Settings, before_login: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[ClientConnection]:
    """An authenticated connection. The login evicts another connection of the account.

    `before_login` may raise ConnectionLostError to prevent that. Raises ConnectionLostError when it
    cannot be opened now, LoginRefusedError for a refused key.
    """
    is_encrypted = settings.polygon_websocket_url.lower().startswith("wss:")
    try:
        async with connect(
            settings.polygon_websocket_url,
            max_size=LARGEST_FRAME_BYTES,
            open_timeout=HANDSHAKE_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ssl=tls.context(settings) if is_encrypted else None,
            compression=None,  # 2.7 MB/s for the whole market costs less than inflating it
        ) as socket:
            if before_login:
                await before_login()
            await _authenticate(socket, settings)
            yield socket
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            body = settings.conceal(error.response.body.decode(errors="replace")).strip(" {}\r\n")
            raise polygon_login.ended_by(
                f"HTTP {status}: {body}" if body else f"HTTP {status}"
            ) from error
        raise ConnectionLostError(f"handshake refused with HTTP {status}") from error
    except (OSError, WebSocketException, TimeoutError) as error:
        raise ConnectionLostError(f"{type(error).__name__}: {error}") from error


async def send(socket: ClientConnection, action: str, params: str) -> None:
    """Send one request."""
    await socket.send(msgspec.json.encode({"action": action, "params": params}).decode())


def raise_if_ending(status: Status) -> None:
    """Raise for a status that announces the end of this connection."""
    if status.status == "max_connections":
        raise TooManyConnectionsError(
            f"another connection uses this account: {status.message.strip()}"
        )
    if status.status in ("slow_consumer", "force_disconnect"):
        raise ConnectionLostError(f"{status.status}: {status.message}")


async def _authenticate(socket: ClientConnection, settings: Settings) -> None:
    """Send the key and wait until it is accepted; an answer that quotes the key loses it.

    Raises LoginRefusedError where the vendor refuses it or gives an unknown answer, and
    ConnectionLostError where the connection ends or no answer comes: the next one may succeed.
    """
    await send(socket, "auth", settings.polygon_api_key.get_secret_value())
    unknown: list[str] = []
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            while True:
                answer = (await socket.recv(decode=False)).decode(errors="replace")
                if _is_accepted(read_frame(settings.conceal(answer).encode()), unknown):
                    return
    except (TimeoutError, ConnectionClosed) as error:
        if unknown:
            raise polygon_login.ended_by("; ".join(unknown)) from error
        if isinstance(error, ConnectionClosed):
            raise _closed(error, settings) from error
        raise ConnectionLostError(
            f"no answer to the key within {HANDSHAKE_SECONDS:.0f} s"
        ) from error


def _closed(error: ConnectionClosed, settings: Settings) -> Exception:
    """The error for a close before any answer: the close's reason may be the answer."""
    reason = settings.conceal(error.rcvd.reason) if error.rcvd else ""
    if polygon_login.is_known(reason):
        return polygon_login.ended_by(reason)
    return ConnectionLostError(
        f"closed before the key was accepted: {settings.conceal(str(error))}"
    )


def _is_accepted(frame: Frame, unknown: list[str]) -> bool:
    """Whether a frame accepts the key; words outside the documented login go to `unknown`."""
    for status in frame.statuses:
        if polygon_login.is_accepted(status):
            return True
        raise_if_ending(status)
        if status.status == "auth_timeout":
            raise ConnectionLostError(f"auth_timeout: {status.message}")
        if polygon_login.is_refused(status):
            raise polygon_login.refusal(status)
        if polygon_login.is_unknown(status):
            unknown.append(polygon_login.words_of(status))
    unknown.extend(part.raw[:MOST_QUOTED].decode(errors="replace") for part in frame.refused)
    return False
