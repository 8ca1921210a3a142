"""Delivery to Kafka: a message is kept until the broker has acknowledged it.

Add how messages are delivered here; which are sent, and what follows from a full queue, belongs to
the programs.
"""

import hashlib
import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import KafkaError, KafkaException

from polygon_assets.clients import kafka, kafka_access
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.messages import DeadLetter, encode
from polygon_assets.settings import Settings
from polygon_assets.topics import DEAD_LETTER_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

RETRY_SECONDS = 1.0
REFUSAL_SECONDS = 3.0
"""What is refused is sent again each second: a refusal that is older is over."""
OVERDUE_SECONDS = 2.0
"""Brokers acknowledge within milliseconds; what waits longer would be lost with this process."""
MARK_SECONDS = 0.1
LARGEST_RAW_BYTES = 256 * 1024
"""A dead letter must fit into a Kafka message (1 MiB by default) after base64."""
MOST_KEPT = 10_000
"""Dead letters and gaps that wait in memory while Kafka accepts nothing."""
MOST_REFUSED = 500_000
"""Refused messages that wait in memory to be sent again: with 340 bytes each they take 240 MB, as
much as the client's own queue may."""
RESENT_AT_ONCE = 10_000
"""More would keep the program from its other work for longer than a blink."""
LONGEST_REASON = 1_000
"""A reason quotes the rejected value, which may be as long as the message."""

_log = logging.getLogger("delivery")


class UndeliverableError(PolygonAssetsError):
    """The broker refuses this message for its content, now and later."""


class QueuedMessages:
    """Counts the queued messages, and remembers for some seconds how many there were."""

    def __init__(self) -> None:
        self.total = 0
        self._marks = deque([(time.monotonic(), 0)])
        """Moments and the totals then, oldest first."""

    def within(self, seconds: float) -> int:
        """How many were queued in the last `seconds`, or in a little more."""
        now = time.monotonic()
        while len(self._marks) > 1 and self._marks[1][0] <= now - seconds:
            self._marks.popleft()
        if now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, self.total))
        return self.total - self._marks[0][1]


class Delivery:
    """A librdkafka producer that sends failed deliveries again."""

    def __init__(self, settings: Settings) -> None:
        self._producer = kafka.connect_producer(
            settings,
            **{
                "delivery.report.only.error": True,
                "on_delivery": self._on_failure,
                "error_cb": self._on_error,
            },
        )
        self._settings = settings
        self._queued = QueuedMessages()
        self._refused_at = -math.inf
        self._failed: list[tuple[str, bytes | None, bytes]] = []
        self._retry_at = 0.0
        self.problem = ""
        """The client's last error; empty when the last flush delivered everything."""

    def send(self, topic: str, key: bytes | None, value: bytes) -> bool:
        """Queue a message. False, and nothing queued, when no more may wait."""
        if len(self._failed) >= MOST_REFUSED or not self._produce(topic, key, value):
            return False
        self._queued.total += 1
        return True

    def send_surely(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Queue a message, waiting for room: for a caller that can wait."""
        while not self.send(topic, key, value):
            self.serve(0.1)

    def send_eventually(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Queue a message, or keep it until there is room.

        For the few messages that must not be lost while their caller must not wait.
        """
        if self.send(topic, key, value):
            return
        if len(self._failed) >= MOST_KEPT:
            _log.error(
                "%s: a message is lost, because %d others already wait for Kafka (%s)",
                topic,
                MOST_KEPT,
                self.problem,
            )
            return
        self._failed.append((topic, key, value))

    def send_dead_letter(self, letter: DeadLetter) -> None:
        """Queue a dead letter with all its bytes, in as many messages as they need."""
        letter.reason = letter.reason[:LONGEST_REASON]
        for part in _parts(letter):
            self.send_eventually(DEAD_LETTER_TOPIC, None, encode(part))

    def serve(self, seconds: float = 0.0) -> None:
        """Take delivery reports for up to `seconds` and send failed messages again."""
        self._producer.poll(seconds)
        if self._failed and time.monotonic() >= self._retry_at:
            failed, self._failed = self._failed, []
            for position, message in enumerate(failed):
                if position == RESENT_AT_ONCE or not self._produce(*message):
                    # Before those that are refused again, so that each topic gets its turn.
                    self._failed = failed[position:] + self._failed
                    break

    def flush(self, seconds: float) -> int:
        """Wait up to `seconds` for acknowledgement; returns how many messages have none."""
        deadline = time.monotonic() + seconds
        while self.pending and (left := deadline - time.monotonic()) > 0:
            self._producer.flush(min(left, 0.5))
            self.serve(min(0.05, left) if self._failed else 0.0)
        if not self.pending:
            self.problem = ""
        return self.pending

    @property
    def refusal(self) -> str:
        """Why the brokers refuse messages now; empty while they take them, or do not answer."""
        is_new = time.monotonic() - self._refused_at < REFUSAL_SECONDS
        return self.problem if is_new else ""

    @property
    def pending(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._producer) + len(self._failed)

    @property
    def is_overdue(self) -> bool:
        """Whether a message has waited for its acknowledgement longer than OVERDUE_SECONDS.

        The client only counts the messages that wait. When they are more than were queued lately,
        an older one is among them; when one partition of several accepts nothing, that takes a few
        seconds longer.
        """
        return self.pending > self._queued.within(OVERDUE_SECONDS)

    def _produce(self, topic: str, key: bytes | None, value: bytes) -> bool:
        """Give the client a message. False when its queue is full."""
        try:
            self._producer.produce(topic, value, key)
        except BufferError:
            return False
        except KafkaException as error:
            # The client does not ask the brokers while it knows that they would refuse it.
            self._refused(error.args[0], topic, key, value)
        return True

    def _on_failure(self, error: "KafkaError", message: "Message") -> None:
        self._refused(error, message.topic() or "", message.key(), message.value() or b"")

    def _refused(self, error: "KafkaError", topic: str, key: bytes | None, value: bytes) -> None:
        """Keep a message to send it again, if another time may help."""
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and topic == DEAD_LETTER_TOPIC:
            _log.error(
                "a dead letter is lost, because it is too long for the broker: %.1000s", value
            )
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise UndeliverableError(f"{topic}: {error}; raise the topic's max.message.bytes")
        self.problem = kafka_access.explain(self._settings, error, "WRITE", topic)
        self._refused_at = time.monotonic()
        self._retry_at = self._refused_at + RETRY_SECONDS
        self._failed.append((topic, key, value))

    def _on_error(self, error: "KafkaError") -> None:
        self.problem = kafka_access.explain(self._settings, error)


def _parts(letter: DeadLetter) -> "Iterator[DeadLetter]":
    """The letter itself, or the numbered parts of a letter that is too long."""
    if len(letter.raw) <= LARGEST_RAW_BYTES:
        yield letter
        return
    starts = range(0, len(letter.raw), LARGEST_RAW_BYTES)
    digest = hashlib.sha256(letter.raw).hexdigest()
    for part, start in enumerate(starts, start=1):
        raw = letter.raw[start : start + LARGEST_RAW_BYTES]
        yield msgspec.structs.replace(letter, raw=raw, part=part, parts=len(starts), sha256=digest)
