"""Evidence in Kafka: heartbeats, offsets and lag, gaps, and the messages around a group's position.

How a topic is read is `look`'s business; each function here opens one connection, answers one question and closes it.
"""

import datetime as dt
import time
from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from polygon_assets import messages
from polygon_assets.inspection import UnreadableGapError
from polygon_assets.inspection.kafka_reader import Look, Positions
from polygon_assets.messages import FilteredAggregate, Gap, Heartbeat
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

DEADLINE_SECONDS = 10.0
TAIL = 20
"""Heartbeats read back in each partition: three programs, once a second, so a few seconds' worth."""
LONG_TAIL = 1_000
"""Where one's own heartbeats are to be passed over: about a quarter of an hour of them."""
QUIET_SECONDS = 5.0
"""A follower that hears nothing for this long connects anew, which also proves that a broker still answers."""


def heartbeats(
    settings: Settings, deadline_seconds: float = DEADLINE_SECONDS, other_than: str = ""
) -> dict[str, Heartbeat]:
    """The latest heartbeat of each program that ever sent one, the instance `other_than` left out. Raises KafkaUnreachableError."""
    latest: dict[str, Heartbeat] = {}
    with Look.at(settings, deadline_seconds) as look:
        for beat in filter(
            None,
            map(_heartbeat, look.tail(messages.STATUS_TOPIC, LONG_TAIL if other_than else TAIL)),
        ):
            newer = beat.program not in latest or beat.sent_at >= latest[beat.program].sent_at
            if newer and beat.instance != other_than:
                latest[beat.program] = beat
    return latest


def follow_heartbeats(settings: Settings, stop: Event) -> Iterator[Heartbeat | None]:
    """Each heartbeat as it arrives, and None for each quiet second in which the broker was there.

    Raises KafkaUnreachableError when no broker can be reached; call again to go on.
    """
    while not stop.is_set():
        with Look.at(settings, DEADLINE_SECONDS) as look:
            look.place(look.tail_offsets(messages.STATUS_TOPIC, TAIL))
            yield None
            heard = time.monotonic()
            while not stop.is_set() and time.monotonic() - heard < QUIET_SECONDS:
                records = look.poll(1.0)
                if records:
                    heard = time.monotonic()
                yield from map(_heartbeat, records) if records else [None]


def positions(
    settings: Settings, group: str, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> Positions:
    """The group's committed offsets and the topic's ends. Raises KafkaUnreachableError."""
    with Look.at(settings, deadline_seconds, group_id=group) as look:
        return look.positions(topic)


def missing_topics(settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> list[str]:
    """The topics of the contract that the broker does not have. Raises KafkaUnreachableError."""
    with Look.at(settings, deadline_seconds) as look:
        return [
            topic.name for topic in messages.TOPICS if not look.partition_count(topic.name)
        ]


def message_count(
    settings: Settings, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> int:
    """How many messages a topic has ever had, by its end offsets. Raises KafkaUnreachableError."""
    with Look.at(settings, deadline_seconds) as look:
        return sum(look.ends(topic).values())


def pending_since(
    settings: Settings, group: str, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> dt.datetime | None:
    """When the oldest message that the group has not processed was received; None when it has processed all of them.

    Raises KafkaUnreachableError.
    """
    with Look.at(settings, deadline_seconds, group_id=group) as look:
        there = look.positions(topic)
        behind = {
            partition: offset
            for partition, offset in there.committed.items()
            if offset < there.ends[partition]
        }
        return min((received_at(record) for record in look.first_at(topic, behind)), default=None)


def last_processed(
    settings: Settings,
    group: str,
    topic: str,
    count: int,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[FilteredAggregate]:
    """The last `count` messages of each partition below the group's committed offset. Raises KafkaUnreachableError."""
    with Look.at(settings, deadline_seconds, group_id=group) as look:
        there = look.positions(topic)
        stops = {
            partition: min(offset, there.ends[partition])
            for partition, offset in there.committed.items()
        }
        return [
            messages.decode_filtered(record.value) for record in look.below(topic, stops, count)
        ]


def open_gaps(settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> list[Gap]:
    """Every gap that was reported and not closed, oldest first; a message without a value closes the gap of its key.

    Raises KafkaUnreachableError and UnreadableGapError.
    """
    gaps: dict[bytes, Gap] = {}
    with Look.at(settings, deadline_seconds) as look:
        for record in look.everything(messages.GAP_TOPIC):
            if record.value is None:
                gaps.pop(record.key, None)
            else:
                gaps[record.key] = _gap(record)
    return sorted(gaps.values(), key=lambda gap: gap.since)


def _heartbeat(record: "ConsumerRecord") -> Heartbeat | None:
    """None for one of another version: the next comes within a second."""
    try:
        return messages.decode_heartbeat(record.value)
    except messages.UNREADABLE:
        return None


def _gap(record: "ConsumerRecord") -> Gap:
    try:
        return messages.decode_gap(record.value)
    except messages.UNREADABLE as error:
        raise UnreadableGapError(
            f"{record.topic}, partition {record.partition}, offset {record.offset}: {error}"
        ) from error


class _Received(msgspec.Struct):
    received_at: int


_decode_received = msgspec.json.Decoder(_Received).decode


def received_at(record: "ConsumerRecord") -> dt.datetime:
    """When the vendor's event was first ours; for a message that does not say so, when it was produced."""
    try:
        return dt.datetime.fromtimestamp(_decode_received(record.value).received_at / 1e6, dt.UTC)
    except messages.UNREADABLE:
        return dt.datetime.fromtimestamp(record.timestamp / 1e3, dt.UTC)
