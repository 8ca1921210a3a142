"""One WebSocket connection to the vendor: opened, authenticated, and how it can end.

What is asked for and what is done with the frames is the producer's business.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from polygon_assets.settings import Settings
from polygon_assets.streaming.program import EXIT_WRONG_KEY, ProgramError
from polygon_assets.streaming.wire import Status, read_frame

LARGEST_FRAME_BYTES = 16 * 1024 * 1024
"""The library's default of 1 MiB closes the connection on a frame of a busy second of A.*."""
HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 3.0
WRONG_KEY = "the vendor refused POLYGON_API_KEY ({}); check the key on the vendor's dashboard"


class ConnectionLostError(Exception):
    """This connection is over; the message says why. The next one may be opened."""


class TooManyConnectionsError(ConnectionLostError):
    """Another process uses the account's connection. Coming back at once would only evict it in turn."""


@asynccontextmanager
async def open_connection(settings: Settings) -> AsyncIterator[ClientConnection]:
    """An authenticated connection.

    Raises ConnectionLostError when it cannot be had now, and ProgramError when the key is wrong.
    """
    try:
        async with connect(
            settings.polygon_websocket_url,
            max_size=LARGEST_FRAME_BYTES,
            open_timeout=HANDSHAKE_SECONDS,
            close_timeout=CLOSE_SECONDS,
            compression=None,  # 2.7 MB/s for the whole market costs less than inflating it
        ) as socket:
            await _authenticate(socket, settings.polygon_api_key.get_secret_value())
            yield socket
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ProgramError(EXIT_WRONG_KEY, WRONG_KEY.format(f"HTTP {status}")) from error
        raise ConnectionLostError(f"handshake refused with HTTP {status}") from error
    except (OSError, WebSocketException, TimeoutError) as error:
        raise ConnectionLostError(f"{type(error).__name__}: {error}") from error


async def send(socket: ClientConnection, action: str, params: str) -> None:
    """Send one request."""
    await socket.send(msgspec.json.encode({"action": action, "params": params}).decode())


def raise_if_ending(status: Status) -> None:
    """Raise for a status that announces the end of this connection."""
    if status.status == "max_connections":
        raise TooManyConnectionsError(f"another connection uses this account: {status.message.strip()}")
    if status.status in ("slow_consumer", "force_disconnect"):
        raise ConnectionLostError(f"{status.status}: {status.message}")


async def _authenticate(socket: ClientConnection, key: str) -> None:
    await send(socket, "auth", key)
    deadline = time.monotonic() + HANDSHAKE_SECONDS
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        while time.monotonic() < deadline:
            for status in read_frame(await socket.recv(decode=False)).statuses:
                if status.status == "auth_success":
                    return
                if status.status == "auth_failed":
                    raise ProgramError(EXIT_WRONG_KEY, WRONG_KEY.format(status.message))
                if status.status == "auth_timeout":
                    raise ConnectionLostError(f"auth_timeout: {status.message}")
                raise_if_ending(status)
