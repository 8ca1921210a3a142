"""The archiver: RAW_TOPIC into objects in S3, committed after S3 has them.

Which messages share an object belongs here; the names and the format of objects belong to
`clients.archive_store`, when to upload and commit to `batch_loop`. The group is its own: the
archive gets what the filter drops, and neither waits for the other.

At least once. A crash between upload and commit reads the batch again, cut elsewhere: the archive
then has some messages in two objects. That is exactly once in effect, because a message is a
version of a second (symbol, start, received_at), and a version that is read twice is one row. An
upload that failed halfway is repeated with the same batch, hence the same names and contents. After
a loss of the broker's memory the offsets start again at 0; such objects have other receipts and
digests in their names, so no object replaces or hides another. What the broker lost before it
was read is not in the archive: `consumer` logs it. It is a gap only where the filter had not read
it either.
"""

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

from confluent_kafka import Message

from polygon_assets.clients import archive_store
from polygon_assets.clients.archive_store import (
    ArchiveStore,
    ArchiveStoreError,
    ObjectName,
    content_of,
    digest_of,
    to_line,
)
from polygon_assets.events.validation import CLOCK_TOLERANCE_MS, FIRST_DAY_MS
from polygon_assets.messages import LATEST_MS, UNREADABLE, Stamps, clamped_utc, decode_stamps
from polygon_assets.settings import Settings
from polygon_assets.streaming.batch_loop import BatchLoop, Limits, UnavailableError
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.topics import ARCHIVER_GROUP, RAW_TOPIC

HOUR_MS = 3_600_000


def run(settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
    """Archive until `stop` is set."""
    archiver = Archiver(archive_store.connect(settings), publisher)
    limits = Limits(
        settings.archive_max_seconds, settings.drain_seconds, size=settings.archive_max_bytes
    )
    with closing(TopicConsumer(settings, ARCHIVER_GROUP, RAW_TOPIC)) as consumer:
        BatchLoop(publisher, consumer, archiver.upload, limits, lambda _first: None).run(stop)


class Archiver:
    """Uploads batches; used by one thread at a time."""

    def __init__(self, store: ArchiveStore, publisher: HeartbeatPublisher) -> None:
        self._store = store
        self._publisher = publisher

    def upload(self, messages: Sequence[Message]) -> int:
        """Return once S3 has every message; none is ever refused. Raises UnavailableError."""
        archived = [Archived(message) for message in messages]
        try:
            for name, content in objects(archived):
                self._store.put(name, content)
        except ArchiveStoreError as error:
            raise UnavailableError(str(error)) from error
        self._report(archived)
        return 0

    def _report(self, archived: Sequence["Archived"]) -> None:
        beat = self._publisher.beat
        starts = [
            min(event.start_ms, LATEST_MS) for event in archived if event.start_ms is not None
        ]
        beat.newest_event = max([beat.newest_event or 0, *starts]) or None
        # A stranger's stamps may be of any size, and a heartbeat beyond its range is unreadable.
        beat.newest_received_at = min(max(0, archived[-1].received_us // 1000), LATEST_MS)


class Archived:
    """A message with its place in the archive."""

    def __init__(self, message: Message) -> None:
        value = message.value() or b""
        stamps = _stamps(value)
        arrived_ms = message.timestamp()[1]
        self.partition = message.partition() or 0
        self.offset = message.offset() or 0
        self.line = to_line(value, is_json=stamps is not None)
        self.received_us = stamps.received_at if stamps else arrived_ms * 1000
        self.start_ms = stamps.start_timestamp if stamps and _is_plausible(stamps) else None
        self.hour_ms = (arrived_ms if self.start_ms is None else self.start_ms) // HOUR_MS * HOUR_MS
        """Of the second. What is no second, or of no time that the filter accepts, lies in the
        hour of its arrival."""


def objects(archived: Sequence[Archived]) -> Iterator[tuple[ObjectName, bytes]]:
    """One object per partition and hour, and per log where a broker started its offsets again."""
    groups: dict[tuple[int, int, int], list[Archived]] = {}
    logs: dict[int, int] = {}
    newest: dict[int, int] = {}
    for event in archived:
        if event.offset <= newest.get(event.partition, -1):
            logs[event.partition] = logs.get(event.partition, 0) + 1
        newest[event.partition] = event.offset
        key = (event.partition, event.hour_ms, logs.get(event.partition, 0))
        groups.setdefault(key, []).append(event)
    for group in groups.values():
        yield _object(group)


def _object(group: Sequence[Archived]) -> tuple[ObjectName, bytes]:
    first, last = group[0], group[-1]
    content = content_of([event.line for event in group])
    name = ObjectName(
        clamped_utc(first.hour_ms),
        first.partition,
        _moment(first.received_us),
        first.offset,
        last.offset,
        digest_of(content),
    )
    return name, content


def _stamps(value: bytes) -> Stamps | None:
    try:
        return decode_stamps(value)
    except UNREADABLE:
        return None


def _is_plausible(stamps: Stamps) -> bool:
    latest = stamps.received_at // 1000 + CLOCK_TOLERANCE_MS
    return FIRST_DAY_MS <= stamps.start_timestamp <= latest


def _moment(unix_us: int) -> dt.datetime:
    """Exact to the microsecond, unlike a division; the number is the vendor's machine's or ours."""
    return clamped_utc(unix_us // 1000) + dt.timedelta(microseconds=unix_us % 1000)
