"""The producer: the vendor's WebSocket aggregates into RAW_TOPIC, for the channels of the accepted subscription set.

It decides when to connect, what to ask for and what to do when Kafka cannot keep up. It judges no prices: the filter does.
"""

import asyncio
import datetime as dt
import logging
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from polygon_assets.clients import market_clock, subscription_store
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import GAP_TOPIC, RAW_TOPIC, DeadLetter, Gap, Heartbeat, encode
from polygon_assets.settings import Settings
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.channels import ChannelLedger
from polygon_assets.streaming.connection import (
    ConnectionLostError,
    TooManyConnectionsError,
    open_connection,
    raise_if_ending,
    send,
)
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.gaps import GapTracker, overlaps_session
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.program import (
    EXIT_NOT_DRAINED,
    EXIT_NOT_ENTITLED,
    ProgramError,
    require,
)
from polygon_assets.streaming.subscription_watch import SubscriptionWatch
from polygon_assets.streaming.validation import CLOCK_TOLERANCE_MS, FIRST_DAY_MS, WINDOW_MS
from polygon_assets.streaming.wire import (
    Frame,
    Refused,
    Status,
    VendorAggregate,
    read_frame,
    to_raw,
)

KEEPER_SECONDS = 0.25
HEALTHY_SECONDS = 10.0
"""The back-off starts anew only after this much of data: a vendor that accepts and then drops us is not healthy."""
RESUME_SECONDS = 3.0
"""How long the first connection waits for the previous process's last heartbeat."""
RESUME_PAUSE_SECONDS = 1.0
"""Short, because this process's own heartbeats soon hide those of the previous one."""
LIVE_MS = 20 * 60 * 1000
"""Events younger than this are of the present, also on the cluster that is 15 minutes late; older ones are replayed."""
BACKLOG = 12_000
"""Messages; the whole market sends so many a second. What waits beyond that would be lost with this process, unnoticed if it counted."""
EXTENDED_HOURS_PATIENCE = 15
"""Before the open and after the close a small set of symbols may not trade for half an hour."""
PATIENCE_SECONDS = 2.0
"""How long a full queue may hold back reading. Longer, and the vendor kills us as a slow consumer, which loses more."""
DELAYS = 51
"""Frames whose median delay is reported: one event with a wrong stamp must not look like a wrong clock."""

_log = logging.getLogger("producer")


def run(settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
    """Produce until `stop` is set. Raises ProgramError for a wrong key or a plan without this data."""
    require(settings, "polygon_api_key", "polygon_websocket_url")
    asyncio.run(Producer(settings, publisher, stop).run())


class Producer:
    """One process's state: the channels of this connection, the open gap, what is on its way to Kafka."""

    def __init__(
        self, settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._stop = stop
        self._calendar = calendar_of(settings)
        self._delivery = Delivery(settings)
        self._watch = SubscriptionWatch(subscription_store.connect(settings))
        self._gaps = GapTracker()
        self._channels = ChannelLedger()
        self._connected_at = 0.0
        self._last_data_at: float | None = None
        self._dropping = False
        self._version_us = 0
        """The newest `received_at` given to an event."""
        self._delays: deque[int] = deque(maxlen=DELAYS)
        self._confirmed_at: dt.datetime | None = None
        """When this connection had its first channel confirmed."""

    async def run(self) -> None:
        """Connect, stream, and connect again, until stopped; then hand on what was accepted."""
        backoff = Backoff()
        resuming = asyncio.create_task(self._resume_after_previous_process())
        try:
            await asyncio.wait((resuming,), timeout=RESUME_SECONDS)
            await asyncio.to_thread(self._watch.start)
            await self._wait_for_subscriptions()
            while not self._stop.is_set():
                self._last_data_at = None
                cooldown = await self._connection(backoff)
                await self._pause(max(cooldown, backoff.next_delay()))
        finally:
            self._stop.set()  # for the thread that may still ask Kafka for the previous process
            self._watch.stop()
            await self._drain()

    async def _wait_for_subscriptions(self) -> None:
        while self._watch.current is None and not self._stop.is_set():
            self._publisher.state("waiting", self._watch.problem)
            await self._pause(KEEPER_SECONDS)

    async def _resume_after_previous_process(self) -> None:
        """What was missed since the last producer's last heartbeat is a gap, however that producer ended."""
        if previous := (await asyncio.to_thread(self._previous_heartbeats)).get("producer"):
            self._gaps.lost(
                "stop" if previous.state == "stopped" else "crash",
                previous.newest_event,
                previous.epoch,
            )
            beat = (
                self._publisher.beat
            )  # passed on, in case this process ends before it has received anything
            beat.complete_until = previous.complete_until or previous.sent_at
            beat.epoch = beat.epoch or previous.epoch
            beat.newest_event = beat.newest_event or previous.newest_event
            beat.newest_received_at = beat.newest_received_at or previous.newest_received_at
            # A clock that was set back must not make this process's corrections older than what they correct.
            self._version_us = max(
                self._version_us, 1000 * max(previous.sent_at, previous.newest_received_at or 0)
            )

    def _previous_heartbeats(self) -> dict[str, Heartbeat]:
        """Kafka is asked until it answers: when a whole machine comes back, the broker may come after the producer."""
        warned = False
        while not self._stop.is_set():
            try:
                return heartbeats(
                    self._settings, RESUME_SECONDS, other_than=self._publisher.beat.instance
                )
            except KafkaUnreachableError as error:
                if not warned:
                    _log.warning(
                        "the previous producer's last heartbeat cannot be read yet: %s", error
                    )
                warned = True
                self._stop.wait(RESUME_PAUSE_SECONDS)
        return {}

    async def _pause(self, seconds: float) -> None:
        """Sleep in short steps: `stop` and the heartbeat do not wait."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and time.monotonic() < until:
            self._publisher.tick()
            self._delivery.serve()
            await asyncio.sleep(min(KEEPER_SECONDS, max(0.0, until - time.monotonic())))

    async def _connection(self, backoff: Backoff) -> float:
        """One connection from opening to end; returns the seconds that must pass before the next."""
        self._publisher.state("connecting")
        try:
            async with open_connection(self._settings) as socket:
                await self._stream(socket)
        except TooManyConnectionsError as error:
            self._lost(str(error))
            return self._settings.max_connections_cooldown_seconds
        except ConnectionLostError as error:
            self._lost(str(error))
        finally:
            if (
                self._last_data_at is not None
                and self._last_data_at - self._connected_at >= HEALTHY_SECONDS
            ):
                backoff.reset()
        return 0.0

    def _lost(self, reason: str) -> None:
        self._publisher.count("reconnects")
        self._publisher.beat.confirmed = 0
        if (
            self._confirmed_at is not None
        ):  # a connection that never carried a channel leaves the loss before it as it is
            self._confirmed_at = None
            self._gaps.lost(
                "disconnect", self._publisher.beat.newest_event, self._publisher.beat.epoch
            )
        self._publisher.state("backing_off", reason)

    async def _stream(self, socket: ClientConnection) -> None:
        """Read frames and keep the channels as desired until the connection ends or `stop` is set."""
        self._channels = ChannelLedger()
        self._confirmed_at = None
        self._connected_at = time.monotonic()
        self._publisher.beat.epoch = time.time_ns() // 1_000_000
        self._publisher.state("streaming")
        reader = asyncio.create_task(self._read(socket))
        keeper = asyncio.create_task(self._keep(socket))
        try:
            await asyncio.wait((reader, keeper), return_when=asyncio.FIRST_COMPLETED)
            await socket.close()
            # What the socket had received before it closed still counts.
            await asyncio.wait((reader,), timeout=self._settings.drain_seconds)
        finally:
            reader.cancel()
            keeper.cancel()
            outcomes = await asyncio.gather(reader, keeper, return_exceptions=True)
        self._raise_cause(outcomes)

    def _raise_cause(self, outcomes: Sequence[BaseException | None]) -> None:
        """Raise why the connection ended; that it is closed is the cause only if nothing better is known and nobody asked for it."""
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        for error in sorted(errors, key=lambda error: isinstance(error, ConnectionClosed)):
            if not isinstance(error, ConnectionClosed):
                raise error
            if not self._stop.is_set():
                raise ConnectionLostError(str(error)) from error

    async def _read(self, socket: ClientConnection) -> None:
        turn = time.monotonic()
        while True:
            message = await socket.recv(decode=False)
            received_at_us = time.time_ns() // 1000
            await self._take(read_frame(message), received_at_us)
            if time.monotonic() - turn > 0.05:
                # Frames that are already there do not yield by themselves: the keeper and the pings would starve.
                await asyncio.sleep(0)
                turn = time.monotonic()

    async def _keep(self, socket: ClientConnection) -> None:
        while not self._stop.is_set():
            self._publisher.tick()
            self._delivery.serve()
            await self._follow_subscriptions(socket)
            self._watch_for_silence(time.monotonic(), dt.datetime.now(dt.UTC))
            await asyncio.sleep(KEEPER_SECONDS)

    async def _follow_subscriptions(self, socket: ClientConnection) -> None:
        accepted = self._watch.current
        desired = accepted.channels if accepted else ()
        plan = self._channels.plan(desired, time.monotonic())
        for action, requests in (("unsubscribe", plan.unsubscribe), ("subscribe", plan.subscribe)):
            for channels in requests:
                await send(socket, action, ",".join(channels))
        beat = self._publisher.beat
        beat.subscriptions_version = accepted.version if accepted else ""
        beat.desired, beat.confirmed = len(desired), len(self._channels.confirmed)
        beat.unconfirmed = self._channels.unconfirmed()[:100]
        beat.lag = self._delivery.pending
        beat.arrival_delay_ms = round(statistics.median(self._delays)) if self._delays else None
        if self._confirmed_at and self._is_complete():
            beat.complete_until = time.time_ns() // 1_000_000
        if self._channels.all_refused:
            raise ProgramError(
                EXIT_NOT_ENTITLED,
                f"the account's plan has none of the {len(desired)} channels asked for; it needs real-time stocks",
            )

    def _watch_for_silence(self, now: float, wall: dt.datetime) -> None:
        """A connection that carries nothing while the market trades is dead, whatever its pings say."""
        session = self._calendar.session_at(wall)
        if session is None or not self._channels.confirmed:
            return
        since_open = (wall - session.extended_open).total_seconds()
        quiet = min(now - (self._last_data_at or self._connected_at), since_open)
        patience = self._settings.no_data_seconds * (
            1 if session.phase(wall) == "regular" else EXTENDED_HOURS_PATIENCE
        )
        if quiet > patience:
            raise ConnectionLostError(f"no data for {quiet:.0f} s while the market is open")

    async def _take(self, frame: Frame, received_at_us: int) -> None:
        counts = Counter(refused=len(frame.refused), status=len(frame.statuses))
        try:
            for part in frame.refused:
                self._refuse(part, received_at_us)
            if frame.aggregates:
                await self._forward(frame.aggregates, received_at_us, counts)
        finally:
            dropped = len(frame.aggregates) - counts["forwarded"]
            self._publisher.count_all({"read": frame.read, "dropped": dropped, **counts})
        if frame.is_incomplete:
            self._lose_part_of(frame, received_at_us)
        for status in frame.statuses:
            self._take_status(status)

    def _lose_part_of(self, frame: Frame, received_at_us: int) -> None:
        """Put the interval of a frame into the gap ledger that held nobody knows which events."""
        if self._confirmed_at is None and self._channels.settled:
            return  # nothing was subscribed on this connection
        starts = [
            event.start_timestamp
            for event in frame.aggregates
            if _is_plausible(event, received_at_us)
        ]
        # Before the first event of all, what was in it may be as old as the delayed cluster's seconds are.
        newest = self._publisher.beat.newest_event or received_at_us // 1000 - LIVE_MS
        self._gaps.lost("unreadable", min([newest, *starts]), self._publisher.beat.epoch)
        _log.error(
            "a frame could not be read to its end; its interval goes into %s, its bytes into the dead letters",
            GAP_TOPIC,
        )

    def _take_status(self, status: Status) -> None:
        if sentence := self._channels.acknowledge(status.status, status.message):
            _log.warning("%s", sentence)
        if self._channels.confirmed and self._confirmed_at is None:
            self._confirmed_at = dt.datetime.now(dt.UTC)
        raise_if_ending(status)

    async def _forward(
        self, events: list[VendorAggregate], received_at_us: int, counts: Counter[str]
    ) -> None:
        self._last_data_at = time.monotonic()
        self._note_delay(events, received_at_us // 1000)
        await self._send(events, received_at_us, counts)
        if (sent := counts["forwarded"]) < len(events):
            self._drop(events[sent:], received_at_us)
            return
        self._dropping = False
        newest = _newest_ms(events, received_at_us)
        if newest is None:
            return
        if self._channels.settled and (
            gap := self._gaps.recovered(_nothing_missing_from(newest, received_at_us))
        ):
            self._publish_gap(gap)
        if (
            self._is_complete()
        ):  # until then the heartbeat keeps where the gap began, for the next process
            beat = self._publisher.beat
            beat.newest_event = max(beat.newest_event or newest, newest)
            beat.newest_received_at = received_at_us // 1000

    def _is_complete(self) -> bool:
        """Whether nothing is missing so far, and no more on its way to Kafka than a heartbeat's second holds."""
        return not self._gaps.is_open and self._delivery.pending < BACKLOG

    async def _send(
        self, events: list[VendorAggregate], received_at_us: int, counts: Counter[str]
    ) -> None:
        """Queue events for Kafka until there is no room, and count those that were queued.

        No two events share a `received_at`: it is the version by which the tables choose, and each
        engine has its own rule for versions that are equal.
        """
        first_us = max(received_at_us, self._version_us + 1)
        self._version_us = first_us + len(events) - 1
        for version_us, event in enumerate(events, first_us):
            key, value = event.symbol.encode(), encode(to_raw(event, version_us))
            if not self._delivery.send(RAW_TOPIC, key, value) and not await self._send_patiently(
                key, value
            ):
                return
            counts["forwarded"] += 1

    def _note_delay(self, events: list[VendorAggregate], received_ms: int) -> None:
        """Keep how long after its second the newest bar of a frame came; that of a replayed day means nothing."""
        delay = received_ms - max(event.end_timestamp for event in events)
        if abs(delay) < LIVE_MS:
            self._delays.append(delay)
        else:
            self._delays.clear()

    async def _send_patiently(self, key: bytes, value: bytes) -> bool:
        """Wait for room in a full queue, which holds back the reading; once that was in vain, only try."""
        until = time.monotonic() + (0 if self._dropping else PATIENCE_SECONDS)
        while not self._delivery.send(RAW_TOPIC, key, value):
            if time.monotonic() >= until:
                return False
            self._delivery.serve()
            await asyncio.sleep(0.01)
        return True

    def _drop(self, events: list[VendorAggregate], received_at_us: int) -> None:
        """Count what nothing can take, and put the interval into the gap ledger."""
        if not self._dropping:
            _log.error(
                "the queue to Kafka is full (%s): events are dropped and their interval goes into %s",
                self._delivery.problem,
                GAP_TOPIC,
            )
        self._dropping = True
        starts = [event.start_timestamp for event in events if _is_plausible(event, received_at_us)]
        if starts:
            self._gaps.dropped(
                len(events), min(starts), max(starts) + WINDOW_MS, self._publisher.beat.epoch
            )

    def _refuse(self, part: Refused, received_at_us: int) -> None:
        self._publisher.refusal(part.reason)
        stage: Literal["frame", "event"] = "frame" if part.is_frame else "event"
        epoch = self._publisher.beat.epoch
        self._delivery.send_dead_letter(
            DeadLetter("producer", stage, part.reason, part.raw, received_at_us, epoch=epoch)
        )

    def _publish_gap(self, gap: Gap) -> None:
        back_at = self._confirmed_at or dt.datetime.now(dt.UTC)
        lost_at = _utc(self._publisher.beat.complete_until or gap.since)
        if gap.events_dropped or self._was_open(lost_at, back_at):
            since, until = _utc(gap.since), _utc(gap.until)
            _log.warning(
                "gap (%s) from %s to %s, %d events dropped",
                gap.reason,
                since,
                until,
                gap.events_dropped,
            )
            self._publisher.count("gaps")
            gap.channels = list(self._watch.current.channels) if self._watch.current else []
            self._delivery.send_eventually(GAP_TOPIC, gap.gap_id.encode(), encode(gap))

    def _was_open(self, since: dt.datetime, until: dt.datetime) -> bool:
        """Whether the market was open between two moments of the wall clock; it counts as open where nobody knows."""
        try:
            clock = market_clock.connect(self._settings)
        except market_clock.MarketClockError as error:
            _log.warning("%s", error)
            return True
        return overlaps_session(self._calendar, clock.market(since), clock.market(until))

    async def _drain(self) -> None:
        self._publisher.state("draining")
        gap = self._gaps.recovered(0)
        if gap and gap.events_dropped:  # the next start finds the other kinds by itself
            self._publish_gap(gap)
        left = await asyncio.to_thread(self._delivery.flush, self._settings.drain_seconds)
        if left:
            raise ProgramError(
                EXIT_NOT_DRAINED,
                f"{left} messages could not be handed to Kafka within {self._settings.drain_seconds} s",
            )


def _is_plausible(event: VendorAggregate, received_at_us: int) -> bool:
    """Whether an event may move the limits of a gap: a wrong stamp would stretch it, or hide what is missing."""
    return FIRST_DAY_MS <= event.start_timestamp <= received_at_us // 1000 + CLOCK_TOLERANCE_MS


def _newest_ms(events: list[VendorAggregate], received_at_us: int) -> int | None:
    """The newest plausible start, in Unix milliseconds; None when no event has one.

    At most the moment of arrival: a stamp from the future would hide that the seconds before it are missing.
    """
    starts = [event.start_timestamp for event in events if _is_plausible(event, received_at_us)]
    return min(max(starts), received_at_us // 1000) if starts else None


def _utc(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def _nothing_missing_from(newest_ms: int, received_at_us: int) -> int:
    """Where a gap ends, in Unix milliseconds, once every channel is answered and events come whose newest starts at `newest_ms`.

    These may be nothing but the correction of an old second. What starts after their arrival is still to come, and so are seconds after
    `newest_ms` in a replay, where wall time means nothing.
    """
    received_ms, end_ms = received_at_us // 1000, newest_ms + WINDOW_MS
    return max(end_ms, received_ms) if received_ms - end_ms < LIVE_MS else end_ms
