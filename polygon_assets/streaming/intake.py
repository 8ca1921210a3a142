"""What becomes of received frames: events forwarded, refused or dropped, and gaps published.

Add what happens to an event between the vendor's frame and Kafka here; connecting and requesting
channels belongs to `producer`, bookkeeping of intervals to `gap_tracker`.
"""

import asyncio
import datetime as dt
import logging
import statistics
import time
from collections import Counter, deque
from typing import Literal

from polygon_assets.clients import market_clock
from polygon_assets.clients.polygon_stream import raise_if_ending
from polygon_assets.events.validation import CLOCK_TOLERANCE_MS, FIRST_DAY_MS, WINDOW_MS
from polygon_assets.events.vendor_channels import Frame, Refused, Status, VendorAggregate, to_raw
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.messages import DeadLetter, Gap, Heartbeat, encode, utc
from polygon_assets.settings import Settings
from polygon_assets.streaming.channel_ledger import ChannelLedger
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.gap_tracker import (
    LIVE_MS,
    GapTracker,
    gap_end_ms,
    overlaps_session,
)
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError
from polygon_assets.streaming.subscription_watch import SubscriptionWatch
from polygon_assets.topics import GAP_TOPIC, RAW_TOPIC

PATIENCE_SECONDS = 2.0
"""A full queue pauses reading for this long. After a longer pause the vendor disconnects us as a
slow consumer, which loses more."""
DELAYS = 51
"""Frames whose median delay is reported: one wrong stamp must not look like a wrong clock."""

_log = logging.getLogger("producer")


class Intake:
    """What one process does with frames: its versions, its open gap, its messages to Kafka."""

    def __init__(
        self,
        settings: Settings,
        publisher: HeartbeatPublisher,
        delivery: Delivery,
        watch: SubscriptionWatch,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._delivery = delivery
        self._watch = watch
        self._calendar = calendar_of(settings)
        self._gaps = GapTracker()
        self._is_dropping = False
        self._version_us = 0
        """The newest `received_at` given to an event."""
        self.channels = ChannelLedger()
        """The channels of the present connection."""
        self.delays: deque[int] = deque(maxlen=DELAYS)
        self.last_data_at: float | None = None
        """When this connection last carried an aggregate, monotonic."""
        self.confirmed_at: dt.datetime | None = None
        """When this connection had its first channel confirmed."""

    @property
    def arrival_delay_ms(self) -> int | None:
        """From the end of a second to the arrival of its bar, the median of the last frames."""
        return round(statistics.median(self.delays)) if self.delays else None

    @property
    def is_complete(self) -> bool:
        """Whether no gap is open, and Kafka acknowledges the events within seconds.

        Otherwise `complete_until` stays: a crash would lose events that no gap records.
        """
        is_taking = not self._delivery.refusal and not self._delivery.is_overdue
        return is_taking and not self._gaps.is_open

    def resume(self, previous: Heartbeat, led_until_ms: int = 0) -> None:
        """Open the gap since the previous producer's last heartbeat, however it ended.

        A copy that has led before, until `led_until_ms`, leaves its own open gap to the leader that
        came after it. If that one never streamed, the open gap stays.
        """
        if previous.sent_at <= led_until_ms:
            return
        if led_until_ms and previous.newest_event is not None:
            self._gaps = GapTracker()
        beat = self._publisher.beat
        reason: Literal["stop", "crash"] = "stop" if previous.state == "stopped" else "crash"
        self._gaps.lost(reason, previous.newest_event, previous.epoch)
        # Passed on, in case this process ends before it has received anything.
        beat.complete_until = previous.complete_until or previous.sent_at
        beat.epoch = beat.epoch or previous.epoch
        beat.newest_event = max(beat.newest_event or 0, previous.newest_event or 0) or None
        beat.newest_received_at = (
            max(beat.newest_received_at or 0, previous.newest_received_at or 0) or None
        )
        # A clock that was set back must not make corrections older than what they correct.
        newest_ms = max(previous.sent_at, previous.newest_received_at or 0)
        self._version_us = max(self._version_us, 1000 * newest_ms)

    def begin_connection(self) -> None:
        """Forget the previous connection's channels; the open gap stays."""
        self.channels = ChannelLedger()
        self.confirmed_at = None

    def end_connection(self) -> None:
        """Open a gap, if this connection had a channel; otherwise an earlier gap stays as it is."""
        if self.confirmed_at is not None:
            self.confirmed_at = None
            beat = self._publisher.beat
            self._gaps.lost("disconnect", beat.newest_event, beat.epoch)

    async def take(self, frame: Frame, received_at_us: int) -> None:
        """Forward, refuse or drop each event of a frame, and count every one of them."""
        counts = Counter(refused=len(frame.refused), status=len(frame.statuses))
        first_us = self._reserve_versions(frame.size, received_at_us)
        try:
            for part in frame.refused:
                self._refuse(part, first_us + part.place)
            if frame.aggregates:
                await self._forward(frame, first_us, received_at_us, counts)
        finally:
            dropped = len(frame.aggregates) - counts["forwarded"]
            self._publisher.count_all({"read": frame.read, "dropped": dropped, **counts})
        if frame.is_incomplete:
            self._record_unreadable(frame, received_at_us)
        for status in frame.statuses:
            self._take_status(status)

    async def drain(self) -> None:
        """Deliver what was accepted. Raises ProgramError when Kafka does not take it in time."""
        gap = self._gaps.recovered(0)
        # The next start finds the other kinds of gaps by itself.
        if gap and gap.events_dropped:
            self._publish_gap(gap)
        left = await asyncio.to_thread(self._delivery.flush, self._settings.drain_seconds)
        if left:
            raise ProgramError(
                EXIT_NOT_DRAINED,
                f"{left} messages could not be delivered to Kafka within "
                f"{self._settings.drain_seconds} s",
            )

    def _take_status(self, status: Status) -> None:
        if sentence := self.channels.acknowledge(status.status, status.message):
            _log.warning("%s", sentence)
        if self.channels.confirmed and self.confirmed_at is None:
            self.confirmed_at = dt.datetime.now(dt.UTC)
        raise_if_ending(status)

    def _reserve_versions(self, count: int, received_at_us: int) -> int:
        """The first `received_at` of a frame; each of its events has its own, in their order.

        No two events share one: tables keep the row with the highest one, and each engine has its
        own rule for ties. Refused events have theirs too, because a replay may publish them.
        """
        first_us = max(received_at_us, self._version_us + 1)
        self._version_us = max(self._version_us, first_us + count - 1)
        return first_us

    async def _forward(
        self, frame: Frame, first_us: int, received_at_us: int, counts: Counter[str]
    ) -> None:
        events = frame.aggregates
        self.last_data_at = time.monotonic()
        self._note_delay(events, received_at_us // 1000)
        versions = [first_us + place for place in frame.places]
        await self._send(events, versions, counts)
        if (sent := counts["forwarded"]) < len(events):
            self._drop(events[sent:], received_at_us)
            return
        self._is_dropping = False
        newest = _newest_ms(events, received_at_us)
        if newest is None:
            return
        if self.channels.settled:
            gap = self._gaps.recovered(gap_end_ms(newest, received_at_us))
            if gap:
                self._publish_gap(gap)
        # Until then the heartbeat keeps the gap's beginning, for the next process.
        if self.is_complete:
            beat = self._publisher.beat
            beat.newest_event = max(beat.newest_event or newest, newest)
            beat.newest_received_at = received_at_us // 1000

    async def _send(
        self, events: list[VendorAggregate], versions_us: list[int], counts: Counter[str]
    ) -> None:
        """Queue events for Kafka, waiting for room; stop when the wait fails. Counts the queued."""
        for event, version_us in zip(events, versions_us, strict=True):
            key, value = event.symbol.encode(), encode(to_raw(event, version_us))
            is_queued = self._delivery.send(RAW_TOPIC, key, value)
            if not is_queued and not await self._send_patiently(key, value):
                return
            counts["forwarded"] += 1

    async def _send_patiently(self, key: bytes, value: bytes) -> bool:
        """Wait for room in a full queue, which pauses reading; while dropping, do not wait."""
        until = time.monotonic() + (0 if self._is_dropping else PATIENCE_SECONDS)
        while not self._delivery.send(RAW_TOPIC, key, value):
            if time.monotonic() >= until:
                return False
            self._delivery.serve()
            await asyncio.sleep(0.01)
        return True

    def _note_delay(self, events: list[VendorAggregate], received_ms: int) -> None:
        """Note how long after its second the newest bar arrived; in a replay it means nothing."""
        delay = received_ms - max(event.end_timestamp for event in events)
        if abs(delay) < LIVE_MS:
            self.delays.append(delay)
        else:
            self.delays.clear()

    def _drop(self, events: list[VendorAggregate], received_at_us: int) -> None:
        """Record the interval of events for which the queue has no room."""
        if not self._is_dropping:
            _log.error(
                "the queue to Kafka is full (%s): events are dropped, their interval goes into %s",
                self._delivery.problem,
                GAP_TOPIC,
            )
        self._is_dropping = True
        if starts := _plausible_starts(events, received_at_us):
            epoch = self._publisher.beat.epoch
            self._gaps.dropped(len(events), min(starts), max(starts) + WINDOW_MS, epoch)

    def _refuse(self, part: Refused, version_us: int) -> None:
        self._publisher.refusal(part.reason)
        stage: Literal["frame", "event"] = "frame" if part.may_hold_several else "event"
        epoch = self._publisher.beat.epoch
        self._delivery.send_dead_letter(
            DeadLetter("producer", stage, part.reason, part.raw, version_us, epoch=epoch)
        )

    def _record_unreadable(self, frame: Frame, received_at_us: int) -> None:
        """Record the interval of a frame whose events cannot all be identified."""
        if self.confirmed_at is None and self.channels.settled:
            return  # nothing was subscribed on this connection
        starts = _plausible_starts(frame.aggregates, received_at_us)
        # Before the first event, the content may be as old as the delayed cluster's seconds.
        newest = self._publisher.beat.newest_event or received_at_us // 1000 - LIVE_MS
        self._gaps.lost("unreadable", min([newest, *starts]), self._publisher.beat.epoch)
        _log.error(
            "a frame could not be read to its end; its interval goes into %s, "
            "its bytes into the dead letters",
            GAP_TOPIC,
        )

    def _publish_gap(self, gap: Gap) -> None:
        back_at = self.confirmed_at or dt.datetime.now(dt.UTC)
        lost_at = utc(self._publisher.beat.complete_until or gap.since)
        clock = self._clock()
        # Without a clock the market may have been open.
        was_open = clock is None or overlaps_session(
            self._calendar, clock.market(lost_at), clock.market(back_at)
        )
        if not gap.events_dropped and not was_open:
            return
        _log.warning(
            "gap (%s) from %s to %s, %d events dropped",
            gap.reason,
            utc(gap.since),
            utc(gap.until),
            gap.events_dropped,
        )
        self._publisher.count("gaps")
        gap.channels = list(self._watch.current.channels) if self._watch.current else []
        self._delivery.send_eventually(GAP_TOPIC, gap.gap_id.encode(), encode(gap))

    def _clock(self) -> MarketClock | None:
        """The market's clock; None, and a line in the log, where none answers."""
        try:
            return market_clock.connect(self._settings)
        except market_clock.MarketClockError as error:
            _log.warning("%s", error)
            return None


def _plausible_starts(events: list[VendorAggregate], received_at_us: int) -> list[int]:
    """The starts that may move a gap's limits: a wrong stamp would stretch it, or hide a loss."""
    latest = received_at_us // 1000 + CLOCK_TOLERANCE_MS
    starts = (event.start_timestamp for event in events)
    return [start for start in starts if FIRST_DAY_MS <= start <= latest]


def _newest_ms(events: list[VendorAggregate], received_at_us: int) -> int | None:
    """The newest plausible start, in Unix milliseconds; None when no event has one.

    At most the moment of arrival: a stamp from the future would hide missing earlier seconds.
    """
    starts = _plausible_starts(events, received_at_us)
    return min(max(starts), received_at_us // 1000) if starts else None
