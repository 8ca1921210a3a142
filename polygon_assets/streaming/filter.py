"""The filter: RAW_TOPIC to FILTERED_TOPIC, keeping what is valid and subscribed, one row per message.

What is valid is decided in `validation`; here is only the loop: read, judge, hand on, and commit once the output is acknowledged.
"""

import threading
import time
from collections import Counter
from contextlib import closing

from confluent_kafka import Message

from polygon_assets.clients import subscription_store
from polygon_assets.messages import (
    FILTER_GROUP,
    FILTERED_TOPIC,
    RAW_TOPIC,
    UNREADABLE,
    DeadLetter,
    decode_raw,
    encode,
)
from polygon_assets.settings import Settings
from polygon_assets.streaming.consumer import Inbox
from polygon_assets.streaming.delivery import Outbox
from polygon_assets.streaming.heartbeat import Pulse
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError
from polygon_assets.streaming.subscription_watch import SubscriptionWatch
from polygon_assets.streaming.validation import fault, to_row

BATCH_MESSAGES = 5_000
BATCH_SECONDS = 0.05


def run(settings: Settings, pulse: Pulse, stop: threading.Event) -> None:
    """Filter until `stop` is set."""
    watch = SubscriptionWatch(subscription_store.connect(settings))
    watch.start()
    try:
        _wait_for_subscriptions(watch, pulse, stop)
        if not stop.is_set():
            with closing(Inbox(settings, FILTER_GROUP, RAW_TOPIC)) as inbox:
                Filter(settings, pulse, watch, inbox).run(stop)
    finally:
        watch.stop()


def _wait_for_subscriptions(watch: SubscriptionWatch, pulse: Pulse, stop: threading.Event) -> None:
    while watch.current is None and not stop.wait(0.2):
        pulse.tick()
        pulse.state("waiting", watch.trouble)


class Filter:
    """The loop. A message that was read is either handed on, counted as unsubscribed, or a dead letter."""

    def __init__(
        self, settings: Settings, pulse: Pulse, watch: SubscriptionWatch, inbox: Inbox
    ) -> None:
        self._pulse = pulse
        self._watch = watch
        self._inbox = inbox
        self._outbox = Outbox(settings)
        self._drain_seconds = settings.drain_seconds

    def run(self, stop: threading.Event) -> None:
        """Work batch by batch; what is under way when `stop` comes is finished."""
        while not stop.is_set():
            self._pulse.tick()
            messages = self._inbox.read(BATCH_MESSAGES, BATCH_SECONDS)
            self._pulse.state(
                "streaming" if self._inbox.assigned else "waiting", self._inbox.trouble
            )
            counts = Counter(self._take(message) for message in messages)
            self._pulse.count_all({"read": len(messages), **counts})
            if messages and self._deliver(stop):
                self._inbox.commit(self._inbox.positions(messages))
            self._pulse.beat.lag = self._inbox.lag()

    def _take(self, message: Message) -> str:
        """Hand a message on or refuse it; returns the counter that it belongs to."""
        value = message.value() or b""
        try:
            event = decode_raw(value)
        except UNREADABLE as error:
            return self._refuse(message, value, f"not a raw aggregate: {error}")
        if reason := fault(event):
            return self._refuse(message, value, reason)
        if not self._watch.keeps(event.symbol, event.received_at):
            return "unsubscribed"
        self._outbox.send_surely(FILTERED_TOPIC, event.symbol.encode(), encode(to_row(event)))
        self._pulse.beat.newest_event = max(
            self._pulse.beat.newest_event or 0, event.start_timestamp
        )
        self._pulse.beat.newest_received_at = event.received_at // 1000
        return "forwarded"

    def _refuse(self, message: Message, value: bytes, reason: str) -> str:
        self._pulse.refusal(reason)
        letter = DeadLetter(
            "filter",
            "validate",
            reason,
            value,
            time.time_ns() // 1000,
            message.topic(),
            message.partition(),
            message.offset(),
        )
        self._outbox.send_dead_letter(letter)
        return "refused"

    def _deliver(self, stop: threading.Event) -> bool:
        """Wait until all output is acknowledged, however long Kafka is away; False when stopped before that."""
        deadline: float | None = None
        while self._outbox.flush(1.0):
            self._pulse.tick()
            self._pulse.state(
                "backing_off",
                f"{self._outbox.pending} messages wait for Kafka: {self._outbox.trouble}",
            )
            if stop.is_set():
                deadline = deadline or time.monotonic() + self._drain_seconds
                if time.monotonic() > deadline:
                    raise ProgramError(
                        EXIT_NOT_DRAINED,
                        "Kafka did not acknowledge the output; it is read again at the next start",
                    )
        return True
