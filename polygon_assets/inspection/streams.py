"""What Kafka holds: heartbeats, offsets and lag, gaps, and messages around a group's offset.

Add a question about Kafka's state here; how a topic is read belongs to `kafka_reader`. Each
function opens one connection, answers one question, and closes the connection.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from polygon_assets import messages, topics
from polygon_assets.inspection.copies import as_one, may_be_several
from polygon_assets.inspection.kafka_reader import KafkaReader, Positions
from polygon_assets.messages import PROGRAMS, FilteredAggregate, Heartbeat, UnixUs, clamped_utc
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

DEADLINE_SECONDS = 10.0
TAIL = 20
"""Heartbeats read in each partition: a few seconds' worth of four programs, one copy of each."""
LONG_TAIL = 1_000
"""About a quarter of an hour of heartbeats, for a reader that skips its own."""
MOST_AHEAD_MS = 24 * 60 * 60 * 1000
"""A clock may have been set back by hours. A heartbeat from a later time would hide all others."""
QUIET_SECONDS = 5.0
"""After this long without a heartbeat a follower reconnects: it proves that the broker answers."""

_log = logging.getLogger("heartbeats")


def heartbeats(
    settings: Settings, deadline_seconds: float = DEADLINE_SECONDS, other_than: str = ""
) -> dict[str, Heartbeat]:
    """The latest heartbeat of each program, without those of the instance `other_than`.

    Copies that share a topic are one heartbeat, unless `other_than` is given. A standby's
    heartbeats are left out. Raises KafkaUnreachableError.
    """
    count = LONG_TAIL if other_than else _tail(settings)
    beats = [
        beat
        for beat in _tail_of_heartbeats(settings, deadline_seconds, count)
        if not beat.is_standby and beat.instance != other_than
    ]
    newest = _newest(beats, lambda beat: str(beat.program))
    if other_than:
        return newest
    for program in newest:
        if may_be_several(settings, program):
            own = _newest((beat for beat in beats if beat.program == program), _instance)
            newest[program] = as_one(own.values()) or newest[program]
    return newest


def instances(
    settings: Settings, program: str, deadline_seconds: float = DEADLINE_SECONDS
) -> list[Heartbeat]:
    """The latest heartbeat of each process of a program, of a quarter of an hour or less.

    A standby's heartbeats are left out. Raises KafkaUnreachableError.
    """
    tail = _tail_of_heartbeats(settings, deadline_seconds, LONG_TAIL)
    own = (beat for beat in tail if beat.program == program and not beat.is_standby)
    return list(_newest(own, _instance).values())


def standbys(
    settings: Settings, deadline_seconds: float = DEADLINE_SECONDS
) -> dict[str, Heartbeat]:
    """The latest heartbeat of each standby, by its instance. Raises KafkaUnreachableError."""
    newest = _newest(_tail_of_heartbeats(settings, deadline_seconds, _tail(settings)), _instance)
    return {
        name: beat for name, beat in newest.items() if beat.is_standby and beat.state != "stopped"
    }


def _tail_of_heartbeats(settings: Settings, deadline_seconds: float, count: int) -> list[Heartbeat]:
    with KafkaReader.at(settings, deadline_seconds) as reader:
        return list(filter(None, map(as_heartbeat, reader.tail(topics.STATUS_TOPIC, count))))


def _tail(settings: Settings) -> int:
    """How many heartbeats of each partition have one of each copy: a second brings one of each."""
    return TAIL * max(settings.copies(program) for program in PROGRAMS)


def _instance(beat: Heartbeat) -> str:
    return beat.instance


def _newest(
    beats: Iterable[Heartbeat], name_of: Callable[[Heartbeat], str]
) -> dict[str, Heartbeat]:
    latest: dict[str, Heartbeat] = {}
    for beat in beats:
        name = name_of(beat)
        if name not in latest or beat.sent_at >= latest[name].sent_at:
            latest[name] = beat
    return latest


def follow_heartbeats(
    settings: Settings, stop: Event, tail: int = TAIL
) -> Iterator[Heartbeat | None]:
    """Each heartbeat as it arrives, and None for each second without one while the broker answers.

    Begins with the last `tail` messages of each partition, after an interruption with the last
    TAIL. Raises KafkaUnreachableError when no broker can be reached; call again to continue.
    """
    while not stop.is_set():
        with KafkaReader.at(settings, DEADLINE_SECONDS) as reader:
            reader.read_from(reader.tail_offsets(topics.STATUS_TOPIC, tail))
            tail = TAIL
            yield None
            newest_at = time.monotonic()
            while not stop.is_set() and time.monotonic() - newest_at < QUIET_SECONDS:
                records = reader.poll(1.0)
                if records:
                    newest_at = time.monotonic()
                yield from map(as_heartbeat, records) if records else [None]


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
    unprocessed = _first_unprocessed(settings, group, topic, deadline_seconds)
    return min(map(received_at, unprocessed), default=None)


def waiting_since(
    settings: Settings, group: str, topic: str, deadline_seconds: float = DEADLINE_SECONDS
) -> dt.datetime | None:
    """When the oldest unprocessed message of the group was published; None without one.

    Later than its receipt where it was published again, such as a replayed dead letter. Raises
    KafkaUnreachableError.
    """
    unprocessed = _first_unprocessed(settings, group, topic, deadline_seconds)
    return min(map(published_at, unprocessed), default=None)


def _first_unprocessed(
    settings: Settings, group: str, topic: str, deadline_seconds: float
) -> list["ConsumerRecord"]:
    """The first unprocessed message of each partition that has one."""
    with KafkaReader.at(settings, deadline_seconds, group_id=group) as reader:
        group_positions = reader.positions(topic)
        behind = {
            partition: offset
            for partition, offset in group_positions.committed.items()
            if offset < group_positions.ends[partition]
        }
        return list(reader.first_at(topic, behind))


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
        return list(filter(None, map(as_filtered, reader.below(topic, stops, count))))


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
                gaps[record.key] = as_gap(record)
    return sorted(gaps.values(), key=lambda gap: gap.since)


def as_heartbeat(record: "ConsumerRecord") -> Heartbeat | None:
    """None for a message that is no heartbeat: the program's next one comes within a second."""
    if record.value is None:
        return None  # the broker's way to delete a key of a compacted topic
    try:
        beat = messages.decode_heartbeat(record.value)
        _check_times(beat, time.time_ns() // 1_000_000)
    except messages.UNREADABLE as error:
        _warn(str(error))
        return None
    return beat


@lru_cache(maxsize=256)
def _warn(reason: str) -> None:
    """Log a reason once: whoever wrote the message may repeat it every second."""
    _log.warning("%s: skipped a message that is no heartbeat: %s", topics.STATUS_TOPIC, reason)


def _check_times(beat: Heartbeat, now_ms: int) -> None:
    """Raises msgspec.ValidationError where a time of the program's own clock is not over yet."""
    names = ["started_at", "sent_at", "epoch", "complete_until", "acknowledged_at"]
    # Filter and sink take this number from messages; the next producer versions its events by it.
    names += ["newest_received_at"] if beat.program == "producer" else []
    for name in names:
        if (getattr(beat, name) or 0) > now_ms + MOST_AHEAD_MS:
            raise msgspec.ValidationError(f"{name} is more than a day in the future")


def as_filtered(record: "ConsumerRecord") -> FilteredAggregate | None:
    """None for a message that is no row: the sink has made it a dead letter."""
    try:
        return messages.decode_filtered(record.value or b"")
    except messages.UNREADABLE:
        return None


def as_gap(record: "ConsumerRecord") -> GapEntry:
    try:
        gap = messages.decode_gap(record.value)
        if gap.until < gap.since:
            raise msgspec.ValidationError(f"until {gap.until} is before since {gap.since}")
        return gap_ledger.reported(gap)
    except messages.UNREADABLE as error:
        place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        return gap_ledger.unreadable_report(record.value, record.timestamp, f"{place}: {error}")


class _Received(msgspec.Struct):
    received_at: UnixUs


_decode_received = msgspec.json.Decoder(_Received).decode


def published_at(record: "ConsumerRecord") -> dt.datetime:
    """When it was produced; a record without that time counts from its receipt."""
    return clamped_utc(record.timestamp) if record.timestamp > 0 else received_at(record)


def received_at(record: "ConsumerRecord") -> dt.datetime:
    """When the vendor's event was first ours; without that field, when it was produced."""
    try:
        received_us = _decode_received(record.value or b"").received_at
    except messages.UNREADABLE:
        # Also this number is whatever the message's producer wrote.
        return clamped_utc(record.timestamp)
    return dt.datetime.fromtimestamp(received_us / 1e6, dt.UTC)
