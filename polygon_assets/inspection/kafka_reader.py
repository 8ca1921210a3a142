"""Reads topics with a deadline, over a connection that is no member of a group.

Add a way of reading a topic here; what the messages mean belongs to `streams`. A broker's LATEST
offset is only a hint: the embedded one answers with the base offset of its last batch + 1, so ends
are taken from the high watermark of a fetch. Apache Kafka's LATEST would do, but the watermark is
exact there too, and one way for both brokers is less code than two.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polygon_assets.clients import kafka_access
from polygon_assets.clients.kafka import connect_admin, connect_inspector
from polygon_assets.clients.kafka_access import KafkaAccessError
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord
    from kafka.errors import KafkaError


@dataclass(frozen=True)
class Positions:
    """A group's offsets in a topic, and the topic's ends, by partition."""

    ends: dict[int, int]
    committed: dict[int, int]

    @property
    def lag(self) -> int:
        """Messages not yet processed; none beyond the end, where the broker has lost data."""
        return sum(max(0, end - self.committed[partition]) for partition, end in self.ends.items())


class KafkaReader:
    """One connection with a deadline; each method raises KafkaUnreachableError after it."""

    def __init__(self, consumer: "KafkaConsumer", settings: Settings, deadline: float) -> None:
        self._consumer = consumer
        self._settings = settings
        self._deadline = deadline

    @classmethod
    @contextmanager
    def at(
        cls, settings: Settings, deadline_seconds: float, **options: Any
    ) -> Iterator["KafkaReader"]:
        """Connect, and close in any case."""
        from kafka.errors import KafkaError

        deadline = time.monotonic() + deadline_seconds
        try:
            kafka_access.check(settings, deadline_seconds)
            left = max(0.1, deadline - time.monotonic())
            consumer = connect_inspector(settings, bootstrap_timeout_ms=int(left * 1000), **options)
            try:
                yield cls(consumer, settings, deadline)
            finally:
                consumer.close(autocommit=False)
        except KafkaAccessError as error:
            raise KafkaUnreachableError(str(error)) from error
        except KafkaError as error:
            raise KafkaUnreachableError(reason_of(settings, error)) from error

    def positions(self, topic: str) -> Positions:
        """The offsets of the group in whose name the connection was made.

        Without a commit a partition counts from its first offset.
        """
        partitions = self._partitions(topic)
        first, _ = self._bounds(partitions)
        committed: dict[int, int] = {}
        for partition in partitions:
            offset = self._consumer.committed(partition, timeout_ms=self._left_ms())
            committed[partition.partition] = first[partition] if offset is None else offset
        return Positions(self.ends(topic), committed)

    def partition_count(self, topic: str) -> int:
        """0 without such a topic. Raises KafkaUnreachableError where the user may not see it."""
        return len(self._partitions(topic))

    def ends(self, topic: str) -> dict[int, int]:
        """Each partition's end."""
        return {
            partition.partition: end
            for partition, end in self._ends(self._partitions(topic)).items()
        }

    def tail(self, topic: str, count: int) -> Iterator["ConsumerRecord"]:
        """The last `count` messages of each partition, or a few more where its end is inexact."""
        return self._read(self.tail_offsets(topic, count))

    def tail_offsets(self, topic: str, count: int) -> dict["TopicPartition", int]:
        """`count` messages before each partition's end, as the broker reports it."""
        first, last = self._bounds(self._partitions(topic))
        return {partition: max(first[partition], end - count) for partition, end in last.items()}

    def everything(self, topic: str) -> Iterator["ConsumerRecord"]:
        """Every message that the topic holds."""
        return self._read(self._bounds(self._partitions(topic))[0])

    def first_at(self, topic: str, offsets: dict[int, int]) -> Iterator["ConsumerRecord"]:
        """The first message at or after each offset."""
        seen: set[int] = set()
        for record in self._read(
            {self._partition(topic, number): offset for number, offset in offsets.items()}
        ):
            if record.partition not in seen:
                yield record
            seen.add(record.partition)
            if len(seen) == len(offsets):
                return

    def below(self, topic: str, stops: dict[int, int], count: int) -> Iterator["ConsumerRecord"]:
        """The `count` messages before each offset."""
        first, _ = self._bounds([self._partition(topic, number) for number in stops])
        starts = {
            p: max(first[p], stops[p.partition] - count)
            for p in first
            if stops[p.partition] > first[p]
        }
        missing = {p.partition for p in starts}
        for record in self._read(starts) if starts else ():
            if record.offset < stops[record.partition]:
                yield record
            if record.offset >= stops[record.partition] - 1:
                missing.discard(record.partition)
            if not missing:
                return

    def read_from(self, offsets: dict["TopicPartition", int]) -> None:
        """Read from these offsets on."""
        self._consumer.assign(list(offsets))
        for partition, offset in offsets.items():
            self._consumer.seek(partition, offset)

    def poll(self, seconds: float) -> list["ConsumerRecord"]:
        """The messages that arrive within `seconds`."""
        return [
            record
            for batch in self._consumer.poll(timeout_ms=int(seconds * 1000)).values()
            for record in batch
        ]

    def _read(self, starts: dict["TopicPartition", int]) -> Iterator["ConsumerRecord"]:
        """From the given offsets until each partition's high watermark."""
        first, last = self._bounds(list(starts))
        starts = {
            partition: offset
            for partition, offset in starts.items()
            if first[partition] < last[partition]
        }
        if not starts:
            return
        self.read_from(starts)
        while not all(self._caught_up(partition) for partition in starts):
            self._left_ms()
            yield from self.poll(0.2)

    def _ends(self, partitions: list["TopicPartition"]) -> dict["TopicPartition", int]:
        first, last = self._bounds(partitions)
        ends = {partition: end for partition, end in last.items() if end == first[partition]}
        filled = [partition for partition in partitions if partition not in ends]
        if filled:
            self.read_from({partition: last[partition] - 1 for partition in filled})
        while any(self._consumer.highwater(partition) is None for partition in filled):
            self._left_ms()
            self.poll(0.2)
        return ends | {partition: self._consumer.highwater(partition) for partition in filled}

    def _caught_up(self, partition: "TopicPartition") -> bool:
        end = self._consumer.highwater(partition)
        return (
            end is not None
            and self._consumer.position(partition, timeout_ms=self._left_ms()) >= end
        )

    def _bounds(
        self, partitions: list["TopicPartition"]
    ) -> tuple[dict["TopicPartition", int], dict["TopicPartition", int]]:
        if not partitions:
            return {}, {}
        first = self._consumer.beginning_offsets(partitions, timeout_ms=self._left_ms())
        return first, self._consumer.end_offsets(partitions, timeout_ms=self._left_ms())

    def _partitions(self, topic: str) -> list["TopicPartition"]:
        numbers = self._consumer.partitions_for_topic(topic)
        if not numbers and self._settings.kafka_uses_sasl:
            self._refuse_hidden(topic)
        return [self._partition(topic, number) for number in sorted(numbers)]

    def _refuse_hidden(self, topic: str) -> None:
        """Raise where the topic seems to be missing because the user may not see it.

        A list of all topics leaves those out; a question by name is answered with the refusal.
        """
        with closing(connect_admin(self._settings)) as admin:
            [answer] = admin.describe_topics([topic])
        if answer["error_code"] == kafka_access.TOPIC_AUTHORIZATION:
            raise KafkaUnreachableError(
                kafka_access.missing_right(self._settings, answer["error_code"], "DESCRIBE", topic)
            )

    @staticmethod
    def _partition(topic: str, number: int) -> "TopicPartition":
        from kafka import TopicPartition

        return TopicPartition(topic, number)

    def _left_ms(self) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise KafkaUnreachableError(
                f"Kafka at {self._settings.kafka_bootstrap_servers} did not answer in time"
            )
        return max(1, int(left * 1000))


def reason_of(settings: Settings, error: "KafkaError") -> str:
    """An error of kafka-python as a sentence; it names the topics or the group of a refusal."""
    from kafka.errors import KafkaTimeoutError

    code = getattr(error, "errno", None)
    if isinstance(error, KafkaTimeoutError):
        return kafka_access.no_answer(settings, str(error))
    if code not in kafka_access.MISSING_RIGHTS:
        return f"Kafka at {settings.kafka_bootstrap_servers}: {error!r}"
    refused = error.args[0] if error.args else ""
    names = refused if isinstance(refused, str) else ", ".join(sorted(refused))
    return kafka_access.missing_right(settings, code, "READ", topic=names, group=names)
