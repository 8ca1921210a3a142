"""One port for everything: each TCP connection is either a WebSocket or a row of HTTP requests.

No protocol knowledge beyond telling them apart; sessions and routes have their own modules.
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
        # Some answers take seconds of arithmetic: the stream goes on meanwhile.
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
    """Listen until `stop` is set; prints the address once it accepts connections. Raises what a feed died of.

    Clients are left as they are: the process is about to end, which closes their connections.
    """
    server = Server(exchange)
    feeds = asyncio.create_task(exchange.run())
    listener = await asyncio.start_server(server.handle, host, port)
    address = listener.sockets[0].getsockname()
    print(f"exchange on http://{address[0]}:{address[1]}", flush=True)  # noqa: T201 - what a launcher waits for
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, feeds}, return_when=asyncio.FIRST_COMPLETED)
    listener.close()
    if feeds.done():
        feeds.result()
