"""What Kafka holds: heartbeats, offsets and lag, gaps, and messages around a group's offset.

Add a question about Kafka's state here; how a topic is read belongs to `kafka_reader`. Each
function opens one connection, answers one question, and closes the connection.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from polygon_assets import messages, topics
from polygon_assets.inspection.kafka_reader import KafkaReader, Positions
from polygon_assets.messages import FilteredAggregate, Heartbeat
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

DEADLINE_SECONDS = 10.0
TAIL = 20
"""Heartbeats read in each partition: a few seconds' worth of four programs."""
LONG_TAIL = 1_000
"""About a quarter of an hour of heartbeats, for a reader that skips its own."""
QUIET_SECONDS = 5.0
"""After this long without a heartbeat a follower reconnects: it proves that the broker answers."""


def heartbeats(
    settings: Settings, deadline_seconds: float = DEADLINE_SECONDS, other_than: str = ""
) -> dict[str, Heartbeat]:
    """The latest heartbeat of each program, without those of the instance `other_than`.

    A standby's heartbeats are left out. Raises KafkaUnreachableError.
    """
    tail = _tail_of_heartbeats(settings, deadline_seconds, LONG_TAIL if other_than else TAIL)
    return _newest(
        (beat for beat in tail if beat.state != "standby" and beat.instance != other_than),
        lambda beat: str(beat.program),
    )


def standbys(
    settings: Settings, deadline_seconds: float = DEADLINE_SECONDS
) -> dict[str, Heartbeat]:
    """The latest heartbeat of each standby, by its instance. Raises KafkaUnreachableError."""
    newest = _newest(
        _tail_of_heartbeats(settings, deadline_seconds, TAIL), lambda beat: beat.instance
    )
    return {name: beat for name, beat in newest.items() if beat.state == "standby"}


def _tail_of_heartbeats(settings: Settings, deadline_seconds: float, count: int) -> list[Heartbeat]:
    with KafkaReader.at(settings, deadline_seconds) as reader:
        return list(filter(None, map(_heartbeat, reader.tail(topics.STATUS_TOPIC, count))))


def _newest(
    beats: Iterable[Heartbeat], name_of: Callable[[Heartbeat], str]
) -> dict[str, Heartbeat]:
    latest: dict[str, Heartbeat] = {}
    for beat in beats:
        name = name_of(beat)
        if name not in latest or beat.sent_at >= latest[name].sent_at:
            latest[name] = beat
    return latest


def follow_heartbeats(settings: Settings, stop: Event) -> Iterator[Heartbeat | None]:
    """Each heartbeat as it arrives, and None for each second without one while the broker answers.

    Raises KafkaUnreachableError when no broker can be reached; call again to continue.
    """
    while not stop.is_set():
        with KafkaReader.at(settings, DEADLINE_SECONDS) as reader:
            reader.read_from(reader.tail_offsets(topics.STATUS_TOPIC, TAIL))
            yield None
            newest_at = time.monotonic()
            while not stop.is_set() and time.monotonic() - newest_at < QUIET_SECONDS:
                records = reader.poll(1.0)
                if records:
                    newest_at = time.monotonic()
                yield from map(_heartbeat, records) if records else [None]


def positions(
    settings: Settings, group: str, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> Positions:
    """The group's committed offsets and the topic's ends. Raises KafkaUnreachableError."""
    with KafkaReader.at(settings, deadline_seconds, group_id=group) as reader:
        return reader.positions(topic)


def missing_topics(settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> list[str]:
    """The declared topics that the broker does not have. Raises KafkaUnreachableError."""
    with KafkaReader.at(settings, deadline_seconds) as reader:
        return [topic.name for topic in topics.TOPICS if not reader.partition_count(topic.name)]


def message_count(
    settings: Settings, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> int:
    """How many messages a topic has ever had, by its end offsets. Raises KafkaUnreachableError."""
    with KafkaReader.at(settings, deadline_seconds) as reader:
        return sum(reader.ends(topic).values())


def pending_since(
    settings: Settings, group: str, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> dt.datetime | None:
    """When the oldest unprocessed message of the group was received; None without one.

    Raises KafkaUnreachableError.
    """
    with KafkaReader.at(settings, deadline_seconds, group_id=group) as reader:
        group_positions = reader.positions(topic)
        behind = {
            partition: offset
            for partition, offset in group_positions.committed.items()
            if offset < group_positions.ends[partition]
        }
        return min((received_at(record) for record in reader.first_at(topic, behind)), default=None)


def last_processed(
    settings: Settings,
    group: str,
    topic: str,
    count: int,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[FilteredAggregate]:
    """The last `count` messages of each partition below the group's committed offset.

    Raises KafkaUnreachableError.
    """
    with KafkaReader.at(settings, deadline_seconds, group_id=group) as reader:
        group_positions = reader.positions(topic)
        stops = {
            # A topic that was created again may end before the committed offset.
            partition: min(offset, group_positions.ends[partition])
            for partition, offset in group_positions.committed.items()
        }
        return list(filter(None, map(_filtered, reader.below(topic, stops, count))))


def reported_gaps(settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> list[GapEntry]:
    """Every gap that a producer reported and Kafka still has, oldest first.

    A message without a value takes back the gap of its key. Raises KafkaUnreachableError.
    """
    gaps: dict[bytes, GapEntry] = {}
    with KafkaReader.at(settings, deadline_seconds) as reader:
        for record in reader.everything(topics.GAP_TOPIC):
            if record.value is None:
                gaps.pop(record.key, None)
            else:
                gaps[record.key] = _gap(record)
    return sorted(gaps.values(), key=lambda gap: gap.since)


def _heartbeat(record: "ConsumerRecord") -> Heartbeat | None:
    """None for a heartbeat of another version: the next one comes within a second."""
    try:
        return messages.decode_heartbeat(record.value)
    except messages.UNREADABLE:
        return None


def _filtered(record: "ConsumerRecord") -> FilteredAggregate | None:
    """None for a message that is no row: the sink has made it a dead letter."""
    try:
        return messages.decode_filtered(record.value)
    except messages.UNREADABLE:
        return None


def _gap(record: "ConsumerRecord") -> GapEntry:
    try:
        return gap_ledger.reported(messages.decode_gap(record.value))
    except messages.UNREADABLE as error:
        place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        return gap_ledger.unreadable_report(record.value, record.timestamp, f"{place}: {error}")


class _Received(msgspec.Struct):
    received_at: int


_decode_received = msgspec.json.Decoder(_Received).decode


def received_at(record: "ConsumerRecord") -> dt.datetime:
    """When the vendor's event was first ours; without that field, when it was produced."""
    try:
        return dt.datetime.fromtimestamp(_decode_received(record.value).received_at / 1e6, dt.UTC)
    except messages.UNREADABLE:
        return dt.datetime.fromtimestamp(record.timestamp / 1e3, dt.UTC)
