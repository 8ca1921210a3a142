"""The conversation on one WebSocket: welcome, authentication, requests, end.

Add handling of a client's message here; bytes and frames belong to `websocket`, the answers to
subscriptions belong to `subscriptions`.
"""

import asyncio
from contextlib import suppress

import msgspec

from polygon_assets.local.exchange.exchange import Exchange
from polygon_assets.local.exchange.stream.feed import Feed
from polygon_assets.local.exchange.stream.subscriptions import (
    REFUSAL,
    Status,
    status,
    subscribe,
    unsubscribe,
)
from polygon_assets.local.exchange.stream.websocket import Connection, RequestMessage, text_frame

NO_WEBSOCKET = "Your plan doesn't include websocket access. Visit the pricing page to upgrade."

_decode = msgspec.json.Decoder(RequestMessage).decode


async def converse(
    exchange: Exchange, feed: Feed, connection: Connection, reader: asyncio.StreamReader
) -> None:
    """Serve a connection until the client or the exchange ends it."""
    loop = asyncio.get_running_loop()
    timeout = loop.call_later(exchange.options.auth_seconds, _auth_timeout, connection)
    pings = loop.create_task(_ping(connection, exchange.options.ping_seconds))
    connection.ping()
    connection.send_statuses([status("connected", "Connected Successfully")])
    try:
        while (messages := await connection.messages(reader)) is not None:
            for message in messages:
                _answer(exchange, feed, connection, message)
    except ConnectionError:
        connection.end_reason = connection.end_reason or "reset by the client"
    finally:
        timeout.cancel()
        pings.cancel()
        feed.leave(connection)


def _answer(exchange: Exchange, feed: Feed, connection: Connection, message: bytes) -> None:
    try:
        request = _decode(message)
    except msgspec.DecodeError:
        connection.send_statuses([status("error", "invalid request")])
        return
    if request.action == "auth" and not connection.authenticated:
        _authenticate(exchange, feed, connection, request.params)
    elif connection.authenticated:
        connection.send_statuses(_change(exchange, connection, request))
    else:
        connection.send_statuses([REFUSAL])


def _authenticate(exchange: Exchange, feed: Feed, connection: Connection, key: str) -> None:
    if exchange.faults.login_answer:
        connection.send_frame(text_frame(exchange.faults.login_answer))
        return
    if not exchange.knows_key(key):
        connection.end_with(status("auth_failed", "authentication failed"), 1008)
        return
    if exchange.faults.stream_refused:
        connection.end_with(status("auth_failed", NO_WEBSOCKET), 1008)
        return
    connection.authenticated = True
    connection.send_statuses([status("auth_success", "authenticated")])
    exchange.join(feed, connection)


def _change(exchange: Exchange, connection: Connection, request: RequestMessage) -> list[Status]:
    if request.action == "subscribe":
        answers = subscribe(
            connection.channels, request.params, frozenset(exchange.faults.refused_channels)
        )
        if connection.channels.confirmed:
            exchange.clock.start()
        return answers
    return (
        unsubscribe(connection.channels, request.params) if request.action == "unsubscribe" else []
    )


def _auth_timeout(connection: Connection) -> None:
    if not connection.authenticated:
        connection.end_with(status("auth_timeout", "No authentication request received."), 1008)


async def _ping(connection: Connection, every: float) -> None:
    with suppress(ConnectionError):
        while not connection.end_reason:
            await asyncio.sleep(every)
            connection.ping()
