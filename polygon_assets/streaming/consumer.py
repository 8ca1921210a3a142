"""A member of a consumer group on one topic: reading, commits, lag.

Add how a topic is read and committed here. `filter`, `sink` and `archiver` commit a message only
after the next system has acknowledged what became of it.
"""

import logging
import time
from collections.abc import Iterable

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from polygon_assets.clients import kafka, kafka_access
from polygon_assets.messages import ProgramState
from polygon_assets.settings import Settings

UNASSIGNED = "no partition assigned yet"
JOIN_SECONDS = 5.0
"""Brokers delay a new group for 3 s, so that all its members get the first assignment."""

_log = logging.getLogger("consumer")


def is_lost(offset: int, expected: int, furthest: int, low: int, high: int) -> bool:
    """Whether messages before this one are gone for good, by the offsets of a partition.

    `expected` is the offset that was to follow, 0 where none is known; `furthest` is the furthest
    position known of the group; `low` and `high` are the log's first offset and its end. A
    broker that lost its log starts again at 0; retention deletes from the front. A message that is
    read again after another member had the partition is no loss: the log is as long as before.
    """
    has_started_again = offset < furthest and high < furthest
    has_expired = 0 < expected < offset and expected < low
    return has_started_again or has_expired


class TopicConsumer:
    """A librdkafka consumer in a group. Partitions are assigned and revoked inside `read`."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        self.topic = topic
        self.problem = UNASSIGNED
        self._settings = settings
        self._group = group
        self._lacks_right = False
        self._positions: dict[int, int] = {}
        self._furthest: dict[int, int] = {}
        """By partition, the furthest position it had before it was assigned again."""
        self._unchecked: set[int] = set()
        """Partitions of which no message was read since they were assigned."""
        self._has_lost = False
        self.is_new: bool | None = None
        """Whether the broker knew no offset of the first partitions that were assigned: the group
        is new, or the broker has forgotten it. None before, and where the broker did not answer."""
        self._consumer: Consumer = kafka.connect_consumer(
            settings, group, **{"error_cb": self._on_error}
        )
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions this member has."""
        return frozenset(self._positions)

    @property
    def state(self) -> ProgramState:
        """`streaming` once messages can arrive."""
        return "streaming" if self._positions and not self._lacks_right else "waiting"

    def read(self, most: int, seconds: float) -> list[Message]:
        """Up to `most` messages that arrive within `seconds`."""
        messages = []
        for message in self._consumer.consume(most, seconds):
            if error := message.error():
                self._on_error(error)
            else:
                messages.append(message)
                partition, offset = message.partition() or 0, message.offset() or 0
                if partition in self._unchecked or offset != self._positions.get(partition):
                    self._check_for_loss(partition, offset)
                self._positions[partition] = offset + 1
        # Messages arrive, so an earlier problem is over.
        if messages:
            self.problem, self._lacks_right = "", False
        return messages

    def take_loss(self) -> bool:
        """Whether the broker has lost messages of this topic since the last call."""
        has_lost, self._has_lost = self._has_lost, False
        return has_lost

    def pause(self, partition: int) -> None:
        """Read nothing of a partition until it is resumed."""
        self._consumer.pause([TopicPartition(self.topic, partition)])

    def resume(self, partition: int) -> None:
        """Read a paused partition again."""
        self._consumer.resume([TopicPartition(self.topic, partition)])

    def positions(self, messages: Iterable[Message]) -> dict[int, int]:
        """By partition, the offset after its last message."""
        return {message.partition() or 0: (message.offset() or 0) + 1 for message in messages}

    def commit(self, positions: dict[int, int]) -> None:
        """Mark everything before the given offsets as done.

        A refused commit is only logged: the partition's next owner reads the messages again, and
        repeating them changes nothing.
        """
        mine = [
            TopicPartition(self.topic, partition, offset)
            for partition, offset in positions.items()
            if partition in self._positions
        ]
        if not mine:
            return
        try:
            self._consumer.commit(offsets=mine, asynchronous=False)
        except KafkaException as error:
            _log.warning("offsets not committed, their messages will be read again: %s", error)

    def lag(self) -> int | None:
        """Messages not yet read, by the high watermarks known here; None without a partition."""
        if not self._positions:
            return None
        return sum(
            max(0, self._high_watermark(partition) - position)
            for partition, position in self._positions.items()
        )

    def close(self) -> None:
        """Leave the group at once, so that others get the partitions without waiting.

        A member that is still joining first waits for its partitions: when a member leaves in that
        moment, the embedded broker never admits anyone to the group again.
        """
        deadline = time.monotonic() + JOIN_SECONDS
        while not self._positions and time.monotonic() < deadline:
            self._consumer.poll(0.1)
        self._consumer.close()

    def _check_for_loss(self, partition: int, offset: int) -> None:
        """Judge a message that does not follow the one before, or is the first of an assignment."""
        expected = self._positions.get(partition, 0)
        furthest = max(self._furthest.get(partition, 0), expected)
        if is_lost(offset, expected, furthest, *self._watermarks(partition)):
            _log.error(
                "%s: the broker lost messages of partition %d before offset %d (read up to %d)",
                self.topic,
                partition,
                offset,
                furthest,
            )
            self._has_lost = True
        self._furthest.pop(partition, None)
        self._unchecked.discard(partition)

    def _high_watermark(self, partition: int) -> int:
        return self._watermarks(partition)[1]

    def _watermarks(self, partition: int) -> tuple[int, int]:
        """The first offset and the end of a partition's log, as the last fetch had them.

        librdkafka gives a negative number where it does not know one yet.
        """
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(self.topic, partition), cached=True
        )
        return max(0, int(low)), max(0, int(high))

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._positions.update({part.partition: 0 for part in partitions})
        self._unchecked.update(part.partition for part in partitions)
        try:
            committed = self._consumer.committed(partitions, timeout=5)
        except KafkaException as error:
            # The positions only serve the lag until the first message is read.
            _log.warning(
                "committed offsets unknown, the lag is too high until the first messages: %s", error
            )
        else:
            if self.is_new is None:
                self.is_new = all(part.offset < 0 for part in committed)
            self._positions.update({part.partition: max(0, part.offset) for part in committed})
        self.problem, self._lacks_right = "", False
        _log.info("%s: partitions %s", self.topic, sorted(self._positions))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for part in partitions:
            position = self._positions.pop(part.partition, 0)
            self._furthest[part.partition] = max(self._furthest.get(part.partition, 0), position)

    def _on_error(self, error: KafkaError) -> None:
        self.problem = kafka_access.explain(self._settings, error, "READ", self.topic, self._group)
        # A partition stays assigned to a member that may not read it.
        self._lacks_right |= error.code() in kafka_access.MISSING_RIGHTS
