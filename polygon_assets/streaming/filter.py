"""The filter: valid and subscribed aggregates from RAW_TOPIC to FILTERED_TOPIC, a row per message.

The loop belongs here: read, judge, deliver, and commit once the output is acknowledged. What is
valid belongs to `events.validation`.
"""

import threading
import time
from collections import Counter
from contextlib import closing

from confluent_kafka import Message

from polygon_assets.clients import subscription_store
from polygon_assets.events.validation import refusal_reason, to_row
from polygon_assets.messages import UNREADABLE, DeadLetter, decode_raw, encode
from polygon_assets.settings import Settings
from polygon_assets.streaming.broker_loss import report_broker_loss
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError
from polygon_assets.streaming.subscription_watch import SubscriptionWatch
from polygon_assets.topics import FILTER_GROUP, FILTERED_TOPIC, RAW_TOPIC

BATCH_MESSAGES = 5_000
BATCH_SECONDS = 0.05


def run(settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
    """Filter until `stop` is set."""
    watch = SubscriptionWatch(subscription_store.connect(settings))
    watch.start()
    try:
        _wait_for_subscriptions(watch, publisher, stop)
        if not stop.is_set():
            with closing(TopicConsumer(settings, FILTER_GROUP, RAW_TOPIC)) as consumer:
                Filter(settings, publisher, watch, consumer).run(stop)
    finally:
        watch.stop()


def _wait_for_subscriptions(
    watch: SubscriptionWatch, publisher: HeartbeatPublisher, stop: threading.Event
) -> None:
    while watch.current is None and not stop.wait(0.2):
        publisher.tick()
        publisher.state("waiting", watch.problem)


class Filter:
    """The loop: each message is forwarded, counted as unsubscribed, or made a dead letter."""

    def __init__(
        self,
        settings: Settings,
        publisher: HeartbeatPublisher,
        watch: SubscriptionWatch,
        consumer: TopicConsumer,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._watch = watch
        self._consumer = consumer
        self._delivery = Delivery(settings)
        self._drain_seconds = settings.drain_seconds

    def run(self, stop: threading.Event) -> None:
        """Work batch by batch; the batch that is under way when `stop` is set is finished."""
        while not stop.is_set():
            self._publisher.tick()
            messages = self._consumer.read(BATCH_MESSAGES, BATCH_SECONDS)
            self._publisher.state(self._consumer.state, self._consumer.problem)
            if self._consumer.take_loss():
                report_broker_loss(self._settings, self._delivery, self._publisher, messages)
            counts = Counter(self._take(message) for message in messages)
            self._publisher.count_all({"read": len(messages), **counts})
            if messages and self._deliver(stop):
                self._consumer.commit(self._consumer.positions(messages))
            self._publisher.beat.lag = self._consumer.lag()

    def _take(self, message: Message) -> str:
        """Forward a message or refuse it; returns the name of its counter."""
        value = message.value() or b""
        try:
            event = decode_raw(value)
        except UNREADABLE as error:
            return self._refuse(message, value, f"not a raw aggregate: {error}")
        if reason := refusal_reason(event):
            return self._refuse(message, value, reason)
        if not self._watch.keeps(event.symbol, event.received_at):
            return "unsubscribed"
        self._delivery.send_surely(FILTERED_TOPIC, event.symbol.encode(), encode(to_row(event)))
        self._publisher.beat.newest_event = max(
            self._publisher.beat.newest_event or 0, event.start_timestamp
        )
        self._publisher.beat.newest_received_at = event.received_at // 1000
        return "forwarded"

    def _refuse(self, message: Message, value: bytes, reason: str) -> str:
        self._publisher.refusal(reason)
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
        self._delivery.send_dead_letter(letter)
        return "refused"

    def _deliver(self, stop: threading.Event) -> bool:
        """Wait for Kafka to acknowledge all output, however long it is away.

        Raises ProgramError when the program is stopped and the drain deadline passes first.
        """
        deadline: float | None = None
        while self._delivery.flush(1.0):
            self._publisher.tick()
            self._publisher.state(
                "backing_off",
                f"{self._delivery.pending} messages wait for Kafka: {self._delivery.problem}",
            )
            if stop.is_set():
                deadline = deadline or time.monotonic() + self._drain_seconds
                if time.monotonic() > deadline:
                    raise ProgramError(
                        EXIT_NOT_DRAINED,
                        "Kafka did not acknowledge the output; the next start reads it again",
                    )
        return True
