"""One port for all protocols: a TCP connection is either a WebSocket or a series of HTTP requests.

Add the distribution of connections here; routes belong to `rest`, conversations to `stream`.
"""

import asyncio
from http import HTTPStatus

from polygon_assets.local.exchange.control import control
from polygon_assets.local.exchange.exchange import Exchange
from polygon_assets.local.exchange.http import Reply, Request, read_request
from polygon_assets.local.exchange.rest.routes import refusal, respond
from polygon_assets.local.exchange.stream.conversation import converse
from polygon_assets.local.exchange.stream.websocket import accept


class Server:
    """Accepts connections for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one TCP connection to its end."""
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _read(reader, writer)) is not None:
            if request.upgrades:
                await self._upgrade(request, reader, writer)
                return
            writer.write((await self._reply(request)).encoded())
            await writer.drain()
            if request.headers.get("connection", "").lower() == "close":
                return

    async def _reply(self, request: Request) -> Reply:
        if request.path == "/healthz":
            return Reply(content={"status": "ok", "exchange_time": self.exchange.clock.now()})
        if request.path.startswith("/control"):
            return control(self.exchange, request)
        if refused := refusal(self.exchange, request):
            return refused
        # In a thread, because some answers take seconds of computing and the stream must go on.
        return await asyncio.to_thread(respond, self.exchange, request)

    async def _upgrade(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        feed = self.exchange.feeds.get(request.path)
        failure = (
            self.exchange.faults.handshakes.popleft()
            if self.exchange.faults.handshakes
            else HTTPStatus.OK
        )
        if failure == 0:
            writer.transport.abort()
        elif feed is None or failure != HTTPStatus.OK:
            writer.write(Reply(HTTPStatus.NOT_FOUND if feed is None else failure).encoded())
        elif connection := accept(writer, request.head, self.exchange.options.buffer_bytes):
            await converse(self.exchange, feed, connection, reader)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        return await read_request(reader)
    except ValueError:
        writer.write(Reply(HTTPStatus.BAD_REQUEST).encoded())
        return None


async def serve(exchange: Exchange, host: str, port: int, stop: asyncio.Event) -> None:
    """Listen until `stop` is set; prints the address once connections are accepted.

    Raises the exception of a feed that failed. Connections of clients stay open: the process ends
    next, which closes them.
    """
    server = Server(exchange)
    await asyncio.to_thread(exchange.get_ready)
    feeds = asyncio.create_task(exchange.run())
    listener = await asyncio.start_server(server.handle, host, port)
    address = listener.sockets[0].getsockname()
    # A program that starts the exchange waits for this line.
    print(f"exchange on http://{address[0]}:{address[1]}", flush=True)  # noqa: T201
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, feeds}, return_when=asyncio.FIRST_COMPLETED)
    listener.close()
    if feeds.done():
        feeds.result()
