"""Which channels the vendor's plan includes: a short connection, and never one beside a producer.

The vendor ends an account's older connection when a new one comes, so heartbeats are read first.
Add a channel to ask for here; connecting and the login belong to `clients.polygon_stream`.
"""

import asyncio
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

from websockets.asyncio.client import ClientConnection

from polygon_assets.clients.polygon_login import LoginRefusedError
from polygon_assets.clients.polygon_stream import (
    REFUSALS,
    SUBSCRIBED,
    ConnectionLostError,
    open_connection,
    raise_if_ending,
    send,
)
from polygon_assets.events.vendor_channels import Status, read_frame
from polygon_assets.inspection import KafkaUnreachableError, streams
from polygon_assets.inspection.entitlements.rest import AGAIN_CURE, PLAN_CURE, SYMBOL
from polygon_assets.inspection.finding import Finding
from polygon_assets.inspection.health import FIRST_HEARTBEAT_LIMIT
from polygon_assets.messages import Heartbeat, process_of, utc
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import PER_SECOND

CHANNELS = {
    PER_SECOND: "aggregates per second",
    "AM": "aggregates per minute",
    "T": "trades",
    "Q": "quotes",
    "LULD": "limits of prices",
}
"""The vendor's kinds of channels for stocks; only PER_SECOND is streamed here."""
ANSWER_SECONDS = 2.0
"""The vendor answers at once, but not about a channel that the cluster does not publish."""
INCLUDED = "included"
NO_ANSWER = f"no answer within {ANSWER_SECONDS:.0f} s, so this cluster does not publish it"
KAFKA_CURE = (
    "KAFKA_BOOTSTRAP_SERVERS must lead to the Kafka of the producer that uses this account; only "
    "its heartbeats show whether a connection would end another one"
)
PRODUCER_CURE = (
    "`polygon-assets status` shows what the producer does; the stream is asked when none runs"
)
CHANNEL_CURE = (
    f"{PLAN_CURE}, or point POLYGON_WEBSOCKET_URL at a cluster that it includes, for example the "
    "delayed one"
)
Answers = dict[str, str]
"""INCLUDED, or the vendor's words, by kind of channel."""


def ask(settings: Settings) -> Iterator[Finding]:
    """What a running producer has confirmed, or one finding for each kind of channel."""
    if not settings.kafka_bootstrap_servers:
        message = "not asked: without KAFKA_BOOTSTRAP_SERVERS a producer may be streaming"
        yield Finding("plan: stream", False, message, KAFKA_CURE)
        return
    try:
        leader = streams.heartbeats(settings).get("producer")
        producers = [*([leader] if leader else []), *streams.standbys(settings).values()]
    except KafkaUnreachableError as error:
        message = f"not asked, because a producer may be streaming: {error}"
        yield Finding("plan: stream", False, message, KAFKA_CURE)
        return
    if holder := holder_of_connection(producers, dt.datetime.now(dt.UTC)):
        yield of_producer(holder)
        return
    answers: Answers = {}
    try:
        asyncio.run(_ask_channels(settings, answers))
    except LoginRefusedError as error:
        yield Finding("plan: stream", False, f"nothing streams: {error}", AGAIN_CURE)
    except ConnectionLostError as error:
        yield Finding("plan: stream", False, f"not known: {error}", AGAIN_CURE)
    yield from judge(answers)


def holder_of_connection(producers: Iterable[Heartbeat], now: dt.datetime) -> Heartbeat | None:
    """The producer that has the account's connection, or may open it; `now` is wall time.

    A producer that ended without saying so may be started again within FIRST_HEARTBEAT_LIMIT.
    """
    for beat in producers:
        if beat.state != "stopped" and now - utc(beat.sent_at) <= FIRST_HEARTBEAT_LIMIT:
            return beat
    return None


def of_producer(beat: Heartbeat) -> Finding:
    """What a running producer proves about the plan."""
    state = f"{beat.state} ({beat.detail})" if beat.detail else beat.state
    message = (
        f"not asked, because a second connection would end the one of the producer "
        f"{process_of(beat)}. It is {state}, and the vendor has confirmed {beat.confirmed} of its "
        f"{beat.desired} channels {PER_SECOND}"
    )
    if beat.unconfirmed:
        message += f"; not {beat.unconfirmed[0]}"
    return Finding("plan: stream", beat.confirmed > 0, message, PRODUCER_CURE)


def judge(answers: Mapping[str, str]) -> Iterator[Finding]:
    """What each answer means; a channel that is not streamed here may be missing."""
    for kind, words in answers.items():
        name, is_included = f"plan: channel {kind}, {CHANNELS[kind]}", words == INCLUDED
        if kind == PER_SECOND:
            message = words if is_included else f"not in the plan, so nothing streams: {words}"
            yield Finding(name, is_included, message, CHANNEL_CURE)
        else:
            used = "" if is_included else "not in the plan: "
            yield Finding(name, True, f"{used}{words} (not used here)")


def answer_about(channel: str, statuses: Iterable[Status]) -> str | None:
    """The answer to the only open request; None while there is none.

    A refusal names no channel. Raises ConnectionLostError for the announced end of the connection.
    """
    for status in statuses:
        raise_if_ending(status)
        if status.message == f"{SUBSCRIBED}{channel}":
            return INCLUDED
        if status.status.lower() in REFUSALS:
            return status.message or status.status
    return None


async def _ask_channels(settings: Settings, answers: Answers) -> None:
    """Subscribe to one channel of each kind, one after the other, and unsubscribe again."""
    async with open_connection(settings) as socket:
        for kind in CHANNELS:
            channel = f"{kind}.{SYMBOL}"
            await send(socket, "subscribe", channel)
            answers[kind] = await _answer(socket, channel)
            await send(socket, "unsubscribe", channel)


async def _answer(socket: ClientConnection, channel: str) -> str:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                frame = read_frame(await socket.recv(decode=False))
                if words := answer_about(channel, frame.statuses):
                    return words
    except TimeoutError:
        return NO_ANSWER
