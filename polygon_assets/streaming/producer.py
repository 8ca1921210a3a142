"""The producer: the vendor's WebSocket aggregates into RAW_TOPIC, for the accepted channels.

When to connect and what to request belongs here; what becomes of received frames belongs to
`intake`, and whether their numbers are valid to the filter.
"""

import asyncio
import datetime as dt
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from polygon_assets.clients import subscription_store
from polygon_assets.clients.polygon_login import Cause, LoginRefusedError
from polygon_assets.clients.polygon_stream import (
    ConnectionLostError,
    TooManyConnectionsError,
    open_connection,
    send,
)
from polygon_assets.events.vendor_channels import read_frame
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.intake import Intake
from polygon_assets.streaming.leadership import SLEPT_SECONDS, Leadership, SleepDetector
from polygon_assets.streaming.program import (
    EXIT_NOT_ENTITLED,
    EXIT_UNKNOWN_ANSWER,
    EXIT_WRONG_KEY,
    ProgramError,
)
from polygon_assets.streaming.subscription_watch import SubscriptionWatch

KEEPER_SECONDS = 0.25
YIELD_SECONDS = 0.05
"""Frames that are already received do not yield by themselves: keeper and pings would starve."""
HEALTHY_SECONDS = 10.0
"""Only a connection with this much data resets the back-off: a vendor that accepts and then
disconnects us is not healthy."""
RESUME_SECONDS = 3.0
"""The first connection waits this long for the previous process's last heartbeat."""
RESUME_PAUSE_SECONDS = 1.0
"""Short: our own heartbeats soon replace the previous producer's in the compacted topic."""
EXTENDED_HOURS_PATIENCE = 15
"""Before the open and after the close a small set of symbols may not trade for half an hour."""
MOST_SHOWN = 100
"""Unconfirmed channels in a heartbeat, which must stay small."""

EXIT_CODES: dict[Cause, int] = {
    "key": EXIT_WRONG_KEY,
    "plan": EXIT_NOT_ENTITLED,
    "unknown": EXIT_UNKNOWN_ANSWER,
}
STANDBY_SECONDS = 0.1
TAKEOVER_SECONDS = 30.0
"""After a leader's death the vendor may take this long to notice that its connection is gone."""

_log = logging.getLogger("producer")


def run(settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
    """Produce until `stop` is set. Raises ProgramError for a wrong key or an insufficient plan."""
    asyncio.run(Producer(settings, publisher, stop).run())


class Producer:
    """The loop: connect, follow the subscriptions, read frames, and connect again."""

    def __init__(
        self, settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._stop = stop
        self._calendar = calendar_of(settings)
        self._delivery = Delivery(settings)
        self._watch = SubscriptionWatch(subscription_store.connect(settings))
        self._intake = Intake(settings, publisher, self._delivery, self._watch)
        self._connected_at = 0.0
        self._leadership = Leadership(settings) if settings.producer_copies > 1 else None
        self._sleep = SleepDetector()
        self._term = 0
        """The leadership's term in which Kafka confirmed the lead for this connection."""
        self._asking = asyncio.Lock()
        """Reader and keeper ask whether this copy still leads, one after the other."""
        self._may_read = True
        """False once another copy may lead: frames that still come belong to the gap."""
        self._leads = False
        """Whether this copy took the lead, and nobody has replaced it since."""
        self._led_at = 0.0
        """When this copy took the lead, monotonic."""
        self._led_until_ms = 0
        """When another copy was found to have replaced this one; 0 if none has."""
        self._resuming: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Connect, stream, and connect again, until stopped; then deliver what was accepted."""
        measuring = asyncio.create_task(self._measure_sleep())
        try:
            with self._leadership or nullcontext():
                try:
                    await self._connect_until_stopped()
                finally:
                    await self._wait_to_leave()
        finally:
            measuring.cancel()
            self._stop.set()  # for the thread that may still ask Kafka for the previous process
            self._watch.stop()
            self._publisher.state("draining")
            await self._intake.drain()

    async def _connect_until_stopped(self) -> None:
        backoff = Backoff()
        if await self._take_the_lead():
            await asyncio.to_thread(self._watch.start)
            await self._wait_for_subscriptions()
        while not self._stop.is_set() and await self._take_the_lead():
            self._intake.last_data_at = None
            cooldown = await self._connection(backoff)
            await self._pause(max(cooldown, backoff.next_delay()))

    async def _wait_to_leave(self) -> None:
        while self._leadership and not self._leadership.may_leave():
            self._publisher.tick()
            self._delivery.serve()
            await asyncio.sleep(STANDBY_SECONDS)

    async def _measure_sleep(self) -> None:
        while True:
            self._sleep.measure()
            await asyncio.sleep(KEEPER_SECONDS)

    async def _take_the_lead(self) -> bool:
        """Return once this copy leads, or False once it is stopped.

        A new leader resumes after the previous one. Before each connection Kafka confirms the lead:
        a second connection would evict the first.
        """
        while self._leadership and not await self._is_confirmed(self._leadership):
            if self._stop.is_set():
                return False
            if self._leads and self._leadership.is_replaced:
                self._leads, self._led_until_ms = False, time.time_ns() // 1_000_000
            self._publisher.beat.is_standby |= self._leadership.is_replaced
            self._publisher.state("standby", self._leadership.problem or "another copy leads")
            self._publisher.tick()
            await asyncio.sleep(STANDBY_SECONDS)
        if not self._leads:
            self._leads, self._led_at = True, time.monotonic()
            self._publisher.beat.is_standby = False
            self._resuming = asyncio.create_task(self._resume_after_previous_process())
            await asyncio.wait((self._resuming,), timeout=RESUME_SECONDS)
        return True

    async def _is_confirmed(self, leadership: Leadership) -> bool:
        """Whether Kafka confirms the lead. A sleep or silence before the question is over."""
        async with self._asking:
            away = max(self._sleep.longest(), leadership.longest_silence())
            is_leader = self._leads and not leadership.is_replaced
            if is_leader and away >= leadership.session_seconds:
                leadership.rejoin()
            self._term, self._may_read = leadership.term, True
            return await asyncio.to_thread(leadership.confirm)

    async def _wait_for_subscriptions(self) -> None:
        while self._watch.current is None and not self._stop.is_set():
            self._publisher.state("waiting", self._watch.problem)
            await self._pause(KEEPER_SECONDS)

    async def _resume_after_previous_process(self) -> None:
        beats = await asyncio.to_thread(self._previous_heartbeats)
        if previous := beats.get("producer"):
            self._intake.resume(previous, self._led_until_ms)

    def _previous_heartbeats(self) -> dict[str, Heartbeat]:
        """The last heartbeats of other processes, read until Kafka answers.

        When a whole machine comes back, the broker may start after the producer.
        """
        instance = self._publisher.beat.instance
        has_warned = False
        while not self._stop.is_set():
            try:
                return heartbeats(self._settings, RESUME_SECONDS, other_than=instance)
            except KafkaUnreachableError as error:
                if not has_warned:
                    _log.warning("the previous producer's last heartbeat is not known: %s", error)
                has_warned = True
                self._stop.wait(RESUME_PAUSE_SECONDS)
        return {}

    async def _pause(self, seconds: float) -> None:
        """Sleep in short steps, so that `stop` and the heartbeat do not wait."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and time.monotonic() < until:
            self._publisher.tick()
            self._delivery.serve()
            await asyncio.sleep(min(KEEPER_SECONDS, max(0.0, until - time.monotonic())))

    async def _connection(self, backoff: Backoff) -> float:
        """One connection from opening to end; returns the seconds to wait before the next."""
        self._publisher.state("connecting")
        try:
            async with open_connection(
                self._settings, before_login=self._refuse_beside_another_leader
            ) as socket:
                await self._stream(socket)
        except LoginRefusedError as error:
            raise ProgramError(EXIT_CODES[error.cause], str(error)) from error
        except TooManyConnectionsError as error:
            self._lost(str(error))
            if self._leadership and time.monotonic() - self._led_at < TAKEOVER_SECONDS:
                return 0.0  # the vendor still has the connection of the leader before this one
            return self._settings.max_connections_cooldown_seconds
        except ConnectionLostError as error:
            self._lost(str(error))
        finally:
            last_data_at = self._intake.last_data_at
            if last_data_at and last_data_at - self._connected_at >= HEALTHY_SECONDS:
                backoff.reset()
        return 0.0

    def _lost(self, reason: str) -> None:
        self._publisher.count("reconnects")
        self._publisher.beat.confirmed = 0
        self._intake.end_connection()
        if self._leadership and self._leadership.is_replaced:
            self._publisher.beat.is_standby = True
        self._publisher.state("backing_off", reason)

    async def _stream(self, socket: ClientConnection) -> None:
        """Read frames and keep the channels as desired until the end, or until `stop` is set."""
        self._intake.begin_connection()
        self._connected_at = time.monotonic()
        self._publisher.beat.epoch = time.time_ns() // 1_000_000
        self._publisher.state("streaming")
        reader = asyncio.create_task(self._read(socket))
        keeper = asyncio.create_task(self._keep(socket))
        try:
            await asyncio.wait((reader, keeper), return_when=asyncio.FIRST_COMPLETED)
            await socket.close()
            # Frames that the socket had received before it closed still count.
            await asyncio.wait((reader,), timeout=self._settings.drain_seconds)
        finally:
            reader.cancel()
            keeper.cancel()
            outcomes = await asyncio.gather(reader, keeper, return_exceptions=True)
        self._raise_cause(outcomes)

    def _raise_cause(self, outcomes: Sequence[BaseException | None]) -> None:
        """Raise why the connection ended.

        ConnectionClosed is the cause only if there is no better one and nobody stopped the program.
        """
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        for error in sorted(errors, key=lambda error: isinstance(error, ConnectionClosed)):
            if not isinstance(error, ConnectionClosed):
                raise error
            if not self._stop.is_set():
                raise ConnectionLostError(str(error)) from error

    async def _read(self, socket: ClientConnection) -> None:
        yielded_at = time.monotonic()
        while True:
            message = await socket.recv(decode=False)
            received_at_us = time.time_ns() // 1000
            await self._refuse_beside_another_leader()
            await self._intake.take(read_frame(message), received_at_us)
            if time.monotonic() - yielded_at > YIELD_SECONDS:
                await asyncio.sleep(0)
                yielded_at = time.monotonic()

    async def _refuse_beside_another_leader(self) -> None:
        """Raise where another copy has replaced this one, or may have meanwhile.

        That is so after this process slept, or its network was away: neither vendor nor Kafka sent
        anything. Frames that waited would get newer stamps than the other copy's corrections of the
        same seconds, and the older values would win. The gap of the handover includes them. A login
        would evict the other copy.
        """
        if self._leadership is None:
            return
        async with self._asking:
            if self._leadership.is_replaced or not self._may_read:
                raise ConnectionLostError("another copy leads")
            silence = time.monotonic() - (self._intake.last_data_at or self._connected_at)
            away = max(self._sleep.longest(), min(silence, self._leadership.longest_silence()))
            if away <= SLEPT_SECONDS:
                return
            self._may_read = False
            if away >= self._leadership.session_seconds:
                self._leadership.rejoin()
            confirmed = await asyncio.to_thread(self._leadership.confirm)
            if not confirmed or self._leadership.term != self._term:
                raise ConnectionLostError("this copy was away, and another one may have led")
            self._may_read = True

    def _may_end(self) -> bool:
        """Whether to end the connection; a leader streams until it may leave."""
        return self._stop.is_set() and (not self._leadership or self._leadership.may_leave())

    async def _keep(self, socket: ClientConnection) -> None:
        while not self._may_end():
            if (leadership := self._leadership) and (
                # As soon as Kafka answers again: at night no frame would ask before the morning.
                leadership.is_replaced or leadership.silence <= SLEPT_SECONDS
            ):
                await self._refuse_beside_another_leader()
            self._publisher.tick()
            self._delivery.serve()
            refusal = self._delivery.refusal
            self._publisher.state("backing_off" if refusal else "streaming", refusal)
            await self._follow_subscriptions(socket)
            self._watch_for_silence(time.monotonic(), dt.datetime.now(dt.UTC))
            await asyncio.sleep(KEEPER_SECONDS)

    async def _follow_subscriptions(self, socket: ClientConnection) -> None:
        accepted, ledger = self._watch.current, self._intake.channels
        desired = accepted.channels if accepted else ()
        plan = ledger.plan(desired, time.monotonic())
        for action, requests in (("unsubscribe", plan.unsubscribe), ("subscribe", plan.subscribe)):
            for channels in requests:
                await send(socket, action, ",".join(channels))
        beat = self._publisher.beat
        beat.subscriptions_version = accepted.version if accepted else ""
        beat.desired, beat.confirmed = len(desired), len(ledger.confirmed & set(desired))
        beat.unconfirmed = ledger.unconfirmed()[:MOST_SHOWN]
        beat.lag = self._delivery.pending
        beat.arrival_delay_ms = self._intake.arrival_delay_ms
        if self._intake.confirmed_at and self._intake.is_complete:
            beat.complete_until = time.time_ns() // 1_000_000
        if ledger.all_refused:
            raise ProgramError(
                EXIT_NOT_ENTITLED,
                f"the account's plan has none of the {len(desired)} requested channels; "
                "it needs real-time stocks",
            )

    def _watch_for_silence(self, now: float, wall: dt.datetime) -> None:
        """Raise when no data arrives while the market trades: the connection is dead."""
        session = self._calendar.session_at(wall)
        if session is None or not self._intake.channels.confirmed:
            return
        since_open = (wall - session.extended_open).total_seconds()
        quiet = min(now - (self._intake.last_data_at or self._connected_at), since_open)
        patience = self._settings.no_data_seconds
        if session.phase(wall) != "regular":
            patience *= EXTENDED_HOURS_PATIENCE
        if quiet > patience:
            raise ConnectionLostError(f"no data for {quiet:.0f} s while the market is open")
