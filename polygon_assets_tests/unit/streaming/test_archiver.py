"""What shares an object of the archive, what it is called, and that it gives back each message."""

import datetime as dt
from typing import cast

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.clients.archive_store import (
    ArchiveStore,
    ArchiveStoreError,
    ObjectName,
    content_of,
    digest_of,
    to_line,
    to_value,
)
from polygon_assets.messages import Heartbeat, encode
from polygon_assets.streaming.archiver import Archived, Archiver, objects
from polygon_assets.streaming.batch_loop import UnavailableError
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

START = dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC)
HOUR = START.replace(minute=0, second=0)
HOUR_MS = 3_600_000


class FakeMessage:
    """The part of librdkafka's message that the archiver uses."""

    def __init__(
        self, value: bytes, offset: int, partition: int = 0, at_ms: int = START_MS
    ) -> None:
        self._value, self._offset, self._partition, self._at_ms = value, offset, partition, at_ms

    def value(self) -> bytes:
        return self._value

    def offset(self) -> int:
        return self._offset

    def partition(self) -> int:
        return self._partition

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at_ms


def message(value: bytes, offset: int, partition: int = 0, at_ms: int = START_MS) -> Message:
    return cast(Message, FakeMessage(value, offset, partition, at_ms))


def event(offset: int, *, second: int = 0, received_us: int = 0, partition: int = 0) -> Message:
    start = START_MS + second * 1000
    value = raw_aggregate(
        start_timestamp=start,
        end_timestamp=start + 1000,
        received_at=(start + 3000) * 1000 + received_us,
    )
    return message(encode(value), offset, partition)


def archived(*messages: Message) -> list[tuple[ObjectName, bytes]]:
    return list(objects([Archived(one) for one in messages]))


def test_an_object_has_the_messages_of_one_partition_and_one_hour_of_seconds() -> None:
    next_hour = HOUR_MS // 1000
    made = archived(event(7), event(3, partition=5), event(8, second=next_hour), event(9, second=1))
    assert [
        (name.partition, name.hour, name.first_offset, name.last_offset) for name, _ in made
    ] == [
        (0, HOUR, 7, 9),
        (5, HOUR, 3, 3),
        (0, HOUR + dt.timedelta(hours=1), 8, 8),
    ]
    assert [content.count(b"\n") for _, content in made] == [2, 1, 1]


def test_a_late_correction_lies_in_the_hour_of_its_second() -> None:
    late = raw_aggregate(received_at=(START_MS + 5 * 24 * HOUR_MS) * 1000)
    [(name, _)] = archived(message(encode(late), 0, at_ms=START_MS + 5 * 24 * HOUR_MS))
    assert (name.hour, name.first_received_at) == (HOUR, START + dt.timedelta(days=5))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{broken",
        b"[1]",
        encode(raw_aggregate(start_timestamp=START_MS // 1000)),
        encode(raw_aggregate(start_timestamp=START_MS * 1000)),
        encode(raw_aggregate(start_timestamp=-5)),
    ],
)
def test_what_is_no_second_lies_in_the_hour_of_its_arrival(value: bytes) -> None:
    [(name, _)] = archived(message(value, 0, at_ms=START_MS + HOUR_MS))
    assert name.hour == HOUR + dt.timedelta(hours=1)


def test_a_log_that_starts_again_makes_another_object_with_another_name() -> None:
    made = archived(event(0), event(1), event(0, received_us=1), event(1, received_us=2))
    assert [(name.first_offset, name.last_offset) for name, _ in made] == [(0, 1), (0, 1)]
    assert len({name.path for name, _ in made}) == 2


def test_the_same_messages_have_the_same_name_and_others_have_another() -> None:
    [(name, _)], [(again, _)] = archived(event(0), event(1)), archived(event(0), event(1))
    [(other, _)] = archived(event(0), event(1, received_us=1))
    assert name == again
    assert (name.first_offset, name.last_offset) == (other.first_offset, other.last_offset)
    assert name.path != other.path


@given(
    hour=st.integers(0, 1_000_000),
    partition=st.integers(0, 999),
    received_us=st.integers(0, 4_000_000_000_000_000),
    offsets=st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
)
def test_a_name_is_read_as_it_was_written(
    hour: int, partition: int, received_us: int, offsets: tuple[int, int]
) -> None:
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    name = ObjectName(
        epoch + dt.timedelta(hours=hour),
        partition,
        epoch + dt.timedelta(microseconds=received_us),
        *offsets,
        digest_of(b""),
    )
    assert ObjectName.parse(name.path) == name


def test_an_object_of_somebody_else_is_no_name() -> None:
    assert ObjectName.parse("date=2026-11-20/hour=15/partition=3/notes.txt") is None


@given(value=st.binary(), is_json=st.booleans())
def test_every_message_comes_back_from_its_line(value: bytes, is_json: bool) -> None:
    line = to_line(value, is_json)
    assert b"\n" not in line
    assert to_value(line) == value


@pytest.mark.parametrize(
    "value", [b'{\n"start_timestamp":1,\r\n"received_at":2}', b'{"unreadable":"eA=="}']
)
def test_json_that_looks_like_something_else_comes_back_too(value: bytes) -> None:
    [(_, content)] = archived(message(value, 0))
    assert [to_value(line) for line in content.split(b"\n")[:-1]] == [value]


class FakePublisher:
    """A heartbeat that is never published."""

    def __init__(self) -> None:
        self.beat = Heartbeat("archiver", "host:1:2", "streaming", 0, 0)


class FakeStore:
    """A store that fails at one put."""

    def __init__(self, fails_at: int) -> None:
        self.paths: list[str] = []
        self._fails_at = fails_at

    def put(self, name: ObjectName, _content: bytes) -> None:
        if len(self.paths) == self._fails_at:
            self._fails_at = -1
            raise ArchiveStoreError("s3://bucket/key: away")
        self.paths.append(name.path)


def test_an_upload_that_failed_halfway_writes_the_same_names_again() -> None:
    store, publisher = FakeStore(fails_at=1), FakePublisher()
    archiver = Archiver(cast(ArchiveStore, store), cast(HeartbeatPublisher, publisher))
    batch = [event(0), event(0, partition=1, second=5), event(0, partition=2)]
    with pytest.raises(UnavailableError, match="s3://bucket/key: away"):
        archiver.upload(batch)
    assert publisher.beat.newest_event is None
    assert archiver.upload(batch) == 0
    assert store.paths[0] == store.paths[1]
    assert len(set(store.paths)) == 3
    assert publisher.beat.newest_event == START_MS + 5000


def test_content_is_one_line_per_message() -> None:
    assert content_of([b"{}", b"[]"]) == b"{}\n[]\n"
