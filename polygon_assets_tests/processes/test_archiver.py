"""The archiver as a process: every message is in S3, whatever dies, and its day can be rebuilt.

Names and contents of single objects belong to unit/streaming/test_archiver.py.
"""

import datetime as dt
from collections import Counter

import pytest

from polygon_assets.clients import archive_store, s3
from polygon_assets.inspection.streams import positions
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import UNREADABLE, RawAggregate, decode_raw, unaccounted
from polygon_assets.settings import Settings
from polygon_assets.topics import ARCHIVER_GROUP, RAW_TOPIC
from polygon_assets_tests.processes.harness import (
    Programs,
    beat,
    send,
    send_raw,
)
from polygon_assets_tests.processes.test_filter import seconds_of
from polygon_assets_tests.unit.streaming.samples import START_MS

SERVERS = ("kafka", "s3")
HOUR = dt.datetime.fromtimestamp(START_MS // 3_600_000 * 3600, dt.UTC)
DIES_BEFORE_THE_COMMIT = """
import os, signal
from polygon_assets.streaming.consumer import TopicConsumer
TopicConsumer.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


def values(settings: Settings) -> list[bytes]:
    """Every archived message of the hours from START_MS on, in the order of the objects."""
    store = archive_store.connect(settings)
    hours = [HOUR + dt.timedelta(hours=number) for number in range(8)]
    return [value for hour in hours for name in store.names(hour) for value in store.read(name)]


def archived(settings: Settings, symbol: str) -> list[RawAggregate]:
    found = []
    for value in values(settings):
        try:
            found.append(decode_raw(value))
        except UNREADABLE:
            continue
    return [item for item in found if item.symbol == symbol]


def starts(aggregates: list[RawAggregate]) -> Counter[int]:
    return Counter(item.start_timestamp for item in aggregates)


def is_caught_up(settings: Settings) -> bool:
    return positions(settings, ARCHIVER_GROUP, RAW_TOPIC).lag == 0


def test_every_message_is_archived_as_it_was_received(
    settings: Settings, programs: Programs
) -> None:
    events = seconds_of("AAPL", 300)
    send_raw(settings, events)
    send(settings, RAW_TOPIC, [("AAPL", b"{broken"), ("AAPL", b"\n\xff")])
    program = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5")
    program.until(lambda: is_caught_up(settings), "it has committed everything")
    assert archived(settings, "AAPL") == events
    assert {b"{broken", b"\n\xff"} <= {*values(settings), *other_hour(settings)}
    assert program.stop() == 0
    last = beat(settings, "archiver")
    assert last is not None
    assert (last.counters["forwarded"], unaccounted(last)) == (last.counters["read"], 0)
    assert last.newest_event == events[-1].start_timestamp


def other_hour(settings: Settings) -> list[bytes]:
    """What is archived under the present hour or the one before: messages without a second."""
    store, now = archive_store.connect(settings), dt.datetime.now(dt.UTC)
    hours = [now - dt.timedelta(hours=1), now]
    return [value for hour in hours for name in store.names(hour) for value in store.read(name)]


@pytest.mark.long
def test_kill_9_between_upload_and_commit_loses_nothing(
    settings: Settings, programs: Programs
) -> None:
    events = seconds_of("KILL", 500)
    send_raw(settings, events[:300])
    first = programs.start("archiver", prelude=DIES_BEFORE_THE_COMMIT, ARCHIVE_MAX_SECONDS="2")
    assert first.exit_code() == -9
    assert len(archived(settings, "KILL")) == 300, "it was killed after the upload"
    send_raw(settings, events[300:])
    second = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5")
    second.until(lambda: is_caught_up(settings), "the second has committed everything")
    found = archived(settings, "KILL")
    assert starts(found).keys() == {event.start_timestamp for event in events}
    assert {(item.start_timestamp, item.received_at) for item in found} == {
        (event.start_timestamp, event.received_at) for event in events
    }
    assert second.stop() == 0


def test_a_stop_uploads_what_was_read(settings: Settings, programs: Programs) -> None:
    program = programs.start("archiver", ARCHIVE_MAX_SECONDS="3600")
    program.wait_for_log("archiver streaming")
    events = seconds_of("DRAIN", 50)
    send_raw(settings, events)
    program.until(
        lambda: (
            (last := beat(settings, "archiver")) is not None
            and last.counters.get("waiting", 0) >= 50
        ),
        "it has read them",
    )
    assert archived(settings, "DRAIN") == []
    assert program.stop() == 0
    assert archived(settings, "DRAIN") == events
    assert is_caught_up(settings)


@pytest.mark.long
def test_it_waits_for_s3_with_bounded_memory_and_then_goes_on(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    program = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5", ARCHIVE_MAX_BYTES="100000")
    program.wait_for_log("archiver streaming")
    stack.kill("s3")
    events = seconds_of("AWAY", 20_000)
    send_raw(settings, events)
    program.wait_for_log("backing_off: s3://polygon-assets/archive/")

    def is_paused() -> bool:
        last = beat(settings, "archiver")
        # While it pauses, the lag is that of the last fetch, which saw a part of the events.
        return last is not None and (last.lag or 0) > last.counters["waiting"] > 0

    program.until(is_paused, "it holds less than was sent")
    stack.restart("s3")
    program.until(lambda: is_caught_up(settings), "it has archived everything")
    assert starts(archived(settings, "AWAY")) == starts(events)
    assert program.stop() == 0
    last = beat(settings, "archiver")
    assert last is not None
    assert last.counters["retries"] > 0
    assert unaccounted(last) == 0


@pytest.mark.long
def test_a_missing_bucket_is_named_and_a_stop_meanwhile_does_not_count_as_drained(
    settings: Settings, programs: Programs
) -> None:
    program = programs.start(
        "archiver", ARCHIVE_BUCKET="nowhere", ARCHIVE_MAX_SECONDS="0.5", DRAIN_SECONDS="1"
    )
    program.wait_for_log("archiver streaming")
    events = seconds_of("LATE", 10)
    send_raw(settings, events)
    program.wait_for_log("backing_off: s3://nowhere/archive/")
    assert "NoSuchBucket" in program.log
    assert program.stop() == 13
    second = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5")
    second.until(lambda: archived(settings, "LATE") == events, "the next one archives them")
    assert second.stop() == 0


@pytest.mark.long
@pytest.mark.embedded_kafka
def test_offsets_that_start_again_at_0_hide_no_object(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    """The broker loses its memory between the same offsets of the same partition, twice."""
    events = seconds_of("BACK", 60)
    program = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5")
    program.wait_for_log("archiver streaming")
    for first in (0, 20, 40):
        stack.kill("kafka")
        stack.restart("kafka")
        send_raw(settings, events[first : first + 20])
        program.until(
            lambda end=first + 20: len(archived(settings, "BACK")) == end,  # type: ignore[misc]
            f"{first + 20} messages are archived",
        )
    assert starts(archived(settings, "BACK")) == starts(events)
    keys = [
        entry["Key"].rsplit("/", 1)[1]
        for entry in s3.connect(settings).list_objects_v2(
            Bucket=settings.subscriptions_bucket, Prefix="archive/"
        )["Contents"]
    ]
    assert sum("-0-19-" in key for key in keys) >= 3, keys
    assert program.stop() == 0
