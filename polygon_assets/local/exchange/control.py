"""The control endpoint: switches faults on and off, and reports what was really sent.

Add a fault's action here, as one function for `POST /control/<name>`; a fault's state belongs to
`faults`, its effect to the code that it disturbs.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from polygon_assets.local.exchange.exchange import Exchange
from polygon_assets.local.exchange.http import Reply, Request
from polygon_assets.local.exchange.rest.routes import error_reply
from polygon_assets.local.exchange.stream.websocket import Connection, text_frame

Body = dict[str, Any]
_LARGE = 1_200_000
"""Bytes: above the default limit of WebSocket clients, 1 MiB."""
_BAD_EVENTS = (
    b'{"ev":"A","sym":"AAPL"}',
    b'{"ev":"A","sym":7,"v":"many","o":null,"s":"noon","e":[]}',
    b'{"sym":"AAPL","v":1}',
)
_BAD_FRAMES = {
    "frame": b'[{"ev":"A","sym":"AAPL",}',
    "large": b'[{"ev":"status","status":"success","message":"' + b"x" * _LARGE + b'"}]',
}


def control(exchange: Exchange, request: Request) -> Reply:
    """Answer requests under /control: GET stats or the clock, POST an action, DELETE all faults."""
    name = request.path.removeprefix("/control").strip("/")
    if request.method == "GET":
        return (
            Reply(content=SHOWN[name](exchange))
            if name in SHOWN
            else Reply(404, {"error": f"GET /control/<{'|'.join(filter(None, SHOWN))}>"})
        )
    if request.method == "DELETE":
        exchange.faults.clear()
        return Reply(content={"faults": "cleared"})
    if name not in ACTIONS:
        return Reply(404, {"error": f"POST /control/<{'|'.join(ACTIONS)}>"})
    try:
        return Reply(content=ACTIONS[name](exchange, request.json()))
    except (ValueError, TypeError, KeyError) as error:
        return Reply(400, {"error": f"{name}: {error!r}"})


def _drop(exchange: Exchange, body: Body) -> Body:
    """Cut one `connection` (an id of the stats) or all of them, without a close frame."""
    return {
        "connections": [
            _ended(connection, connection.abort) for connection in _chosen(exchange, body)
        ]
    }


def _close(exchange: Exchange, body: Body) -> Body:
    """Close with `code` and `reason`; 1006 cuts the connection."""
    code, reason = int(body.get("code", 1000)), str(body.get("reason", ""))
    return {
        "connections": [
            _ended(connection, partial(connection.close, code, reason))
            for connection in _chosen(exchange, body)
        ]
    }


def _evict(exchange: Exchange, body: Body) -> Body:
    """Send max_connections and close with 1008, as after a new connection above the cap."""
    return {
        "connections": [
            _ended(connection, connection.evict) for connection in _chosen(exchange, body)
        ]
    }


def _silence(exchange: Exchange, body: Body) -> Body:
    """Drop the events of `channel` (`A.AAPL`, `A.*`, or `*` for all) for `seconds`."""
    exchange.faults.silent_until[str(body.get("channel", "*"))] = _until(body)
    return {"silent": sorted(exchange.faults.silent_until)}


def _garbage(exchange: Exchange, body: Body) -> Body:
    """Send garbage of a `kind`, or the payload `text`.

    Kinds: frame (no JSON), event (bad events among good ones), large (a frame above 1 MiB).
    """
    kind = str(body.get("kind", "frame"))
    if kind == "event":
        exchange.faults.bad_events.extend(_BAD_EVENTS)
        return {"events": len(_BAD_EVENTS)}
    payload = str(body["text"]).encode() if "text" in body else _BAD_FRAMES[kind]
    chosen = list(_chosen(exchange, body))
    for connection in chosen:
        connection.send_frame(text_frame(payload))
    return {"connections": [connection.number for connection in chosen], "bytes": len(payload)}


def _slow(exchange: Exchange, body: Body) -> Body:
    """Send all events `delay` wall seconds later, for `seconds`."""
    exchange.faults.slow_seconds, exchange.faults.slow_until = (
        float(body.get("delay", 1.0)),
        _until(body),
    )
    return {"delay": exchange.faults.slow_seconds}


def _late(exchange: Exchange, body: Body) -> Body:
    """For `seconds`, delay events by `minutes` of exchange time and send them among newer ones."""
    exchange.faults.late_minutes, exchange.faults.late_until = (
        float(body.get("minutes", 1.0)),
        _until(body),
    )
    return {"minutes": exchange.faults.late_minutes}


def _rest(exchange: Exchange, body: Body) -> Body:
    """Fail the next `count` REST requests under `path` with `status`.

    `empty` omits the body, as the vendor sometimes does.
    """
    headers = (
        {"Retry-After": str(body["retry_after"])} if body.get("retry_after") is not None else {}
    )
    reply = error_reply(int(body.get("status", 429)), headers)
    if body.get("empty"):
        reply = Reply(reply.status, b"", headers)
    exchange.faults.replies.extend(
        [(str(body.get("path", "/")), reply)] * int(body.get("count", 1))
    )
    return {"pending": len(exchange.faults.replies)}


def _refuse(exchange: Exchange, body: Body) -> Body:
    """Refuse a `channel`, an `entitlement`, or the `key`, `today`, `stream` (true or false).

    A channel is answered with "not authorized", an entitlement (a REST path prefix) with 403.
    `today` is the free plan's 403 for the daily bars of a day that is not over, `stream` its
    refusal of the WebSocket.
    """
    faults = exchange.faults
    if "channel" in body:
        faults.refused_channels.add(str(body["channel"]))
    if "entitlement" in body:
        faults.refused_paths.add(str(body["entitlement"]))
    faults.key_refused = bool(body.get("key", faults.key_refused))
    faults.stream_refused = bool(body.get("stream", faults.stream_refused))
    faults.today_refused = bool(body.get("today", faults.today_refused))
    return {
        "channels": sorted(faults.refused_channels),
        "entitlements": sorted(faults.refused_paths),
        "key": faults.key_refused,
    }


def _rate_limit(exchange: Exchange, body: Body) -> Body:
    """Allow `per_minute` REST requests; null for no limit."""
    limit = body.get("per_minute")
    exchange.requests_per_minute = None if limit is None else int(limit)
    return {"per_minute": exchange.requests_per_minute}


def _handshake(exchange: Exchange, body: Body) -> Body:
    """Answer the next `count` WebSocket handshakes with HTTP `status`; 0 cuts the connection."""
    exchange.faults.handshakes.extend([int(body.get("status", 503))] * int(body.get("count", 1)))
    return {"pending": len(exchange.faults.handshakes)}


def _login(exchange: Exchange, body: Body) -> Body:
    """Answer any key with the payload `text`; an empty one ends the fault."""
    exchange.faults.login_answer = str(body["text"]).encode()
    return {"bytes": len(exchange.faults.login_answer)}


ACTIONS: dict[str, Callable[[Exchange, Body], Body]] = {
    "drop": _drop,
    "close": _close,
    "evict": _evict,
    "silence": _silence,
    "garbage": _garbage,
    "slow": _slow,
    "late": _late,
    "rest": _rest,
    "refuse": _refuse,
    "rate-limit": _rate_limit,
    "handshake": _handshake,
    "login": _login,
}


def _chosen(exchange: Exchange, body: Body) -> Iterator[Connection]:
    """The connection with the given id, or all of them."""
    for feed in exchange.feeds.values():
        yield from [
            connection
            for connection in feed.connections
            if body.get("connection") in (None, connection.number)
        ]


def _ended(connection: Connection, end: Callable[[], None]) -> int:
    end()
    return connection.number


def _until(body: Body) -> float:
    return time.monotonic() + float(body.get("seconds", 5.0))


def _stats(exchange: Exchange) -> Body:
    return {
        "exchange_time": exchange.clock.now(),
        "requests_per_minute": exchange.requests_per_minute,
        "rest_requests": exchange.requests_served,
        "feeds": {path: feed.describe() for path, feed in exchange.feeds.items()},
    }


def _clock(exchange: Exchange) -> Body:
    return exchange.clock.describe().as_json()


SHOWN: dict[str, Callable[[Exchange], Body]] = {"": _stats, "stats": _stats, "clock": _clock}
