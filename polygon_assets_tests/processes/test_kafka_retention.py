"""Logs of Apache Kafka without their beginning, expired or compacted, and after a kill -9.

What a broker without memory loses belongs to test_filter.py.
"""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from polygon_assets.clients.kafka import connect_admin, connect_inspector, connect_producer
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.inspection.streams import heartbeats, message_count, pending_since, positions
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.messages import Gap, Heartbeat, encode
from polygon_assets.serving import gap_ledger
from polygon_assets.settings import Settings
from polygon_assets.topics import (
    DEAD_LETTER_TOPIC,
    FILTER_GROUP,
    FILTERED_TOPIC,
    LEADER_TOPIC,
    RAW_TOPIC,
    SINK_GROUP,
    STATUS_TOPIC,
    TOPICS,
)
from polygon_assets_tests.processes.apache_broker import broker
from polygon_assets_tests.processes.gap_harness import final, now, stored
from polygon_assets_tests.processes.harness import (
    Programs,
    beat,
    eventually,
    gaps,
    read_all,
    send,
    send_raw,
)
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SYMBOLS, Live
from polygon_assets_tests.processes.test_archiver import archived, is_caught_up
from polygon_assets_tests.processes.test_filter import seconds_of
from polygon_assets_tests.unit.inspection.test_streams_and_tables import commit

pytestmark = pytest.mark.apache_kafka

OFTEN = {
    "log.retention.check.interval.ms": 300,
    "log.cleaner.backoff.ms": 300,
    "log.initial.task.delay.ms": 300,
}
"""A broker usually looks for expired messages after 30 s, and every five minutes."""
GROUP = "a_group_of_the_tests"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker that deletes expired messages at once; ClickHouse, S3 and the exchange."""
    others = [
        server
        for server in embedded_servers(EXCHANGE_OPTIONS)
        if server.name in ("exchange", "clickhouse", "s3")
    ]
    servers = [broker(lambda _port: OFTEN), *others]
    running = Stack(tmp_path_factory.mktemp("stack"), servers, fixed_ports=False)
    running.start()
    yield running
    running.stop()


def configure(settings: Settings, topic: str, configs: dict[str, Any]) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)
    with closing(connect_admin(settings)) as admin:
        admin.alter_configs([resource])


def bounds(settings: Settings, topic: str) -> list[tuple[int, int]]:
    """The first offset and the end of each partition, as the broker reports them."""
    from kafka import TopicPartition

    with closing(connect_inspector(settings)) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(6)]
        first = consumer.beginning_offsets(partitions)
        last = consumer.end_offsets(partitions)
        return [(first[partition], last[partition]) for partition in partitions]


def expire(settings: Settings, topic: str) -> None:
    """Let every message that a topic has now expire, and keep the later ones."""
    ends = [end for _, end in bounds(settings, topic)]
    configure(settings, topic, {"retention.ms": 1})
    eventually(
        lambda: all(
            first >= end for (first, _), end in zip(bounds(settings, topic), ends, strict=True)
        ),
        f"{topic} has expired",
    )
    [declared] = [known for known in TOPICS if known.name == topic]
    configure(settings, topic, declared.configs)


def losses(settings: Settings, program: str, after_ms: float) -> list[Gap]:
    """The gaps that a program reported for the broker, ending after a moment."""
    return [
        gap
        for gap in gaps(settings)
        if gap.gap_id.startswith(program) and gap.reason == "broker" and gap.until > after_ms
    ]


@pytest.mark.parametrize(
    ("name", "topic", "group"),
    [("filter", RAW_TOPIC, FILTER_GROUP), ("sink", FILTERED_TOPIC, SINK_GROUP)],
)
def test_messages_that_expire_before_they_are_read_become_a_gap_and_are_filled(
    live: Live, programs: Programs, name: str, topic: str, group: str
) -> None:
    settings, started = live.settings, now()
    live.start(*SYMBOLS)
    consumers = {each: programs.start(each) for each in ("filter", "sink")}
    eventually(lambda: stored(settings, started, now()), "rows arrive")
    eventually(lambda: newest_event(settings, name, started), "its newest second is known")
    consumers[name].kill()
    newest_ms, died = newest_event(settings, name, started), now()
    time.sleep(4)
    expire(settings, topic)
    expired_ms = now().timestamp() * 1000
    program = programs.start(name)
    program.wait_for_log("the broker lost messages of partition")
    program.until(lambda: positions(settings, group, topic).lag == 0, "it has read everything")
    reported = [gap_ledger.reported(gap) for gap in losses(settings, name, expired_ms - 4000)]
    since, until = min(gap.since for gap in reported), max(gap.until for gap in reported)
    assert since.timestamp() * 1000 == newest_ms
    lost = final(live, died, until).keys() - stored(settings, died, until).keys()
    assert lost, "something expired"
    eventually(lambda: (now() - until).total_seconds() > 3, "the seconds of the gap are final")
    with closing(GapFiller(settings, lambda _line: None)) as filler:
        assert {filler.fill(gap, now()).state for gap in reported} == {"filled"}
    whole = since - REVISION_WINDOW
    assert stored(settings, whole, until) == final(live, whole, until)


def newest_event(settings: Settings, program: str, since: dt.datetime) -> int:
    """Of a program that was started after a moment; 0 while it has none."""
    last = beat(settings, program, since)
    return (last.newest_event or 0) if last else 0


def test_the_archiver_names_the_messages_that_expired_and_archives_the_later_ones(
    settings: Settings, programs: Programs
) -> None:
    events = seconds_of("EXPIRED", 60)
    send_raw(settings, events[:20])
    first = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5")
    first.until(lambda: is_caught_up(settings), "it has committed everything")
    assert first.stop() == 0
    send_raw(settings, events[20:40])
    expire(settings, RAW_TOPIC)
    send_raw(settings, events[40:])
    second = programs.start("archiver", ARCHIVE_MAX_SECONDS="0.5")
    second.wait_for_log("the broker lost messages of partition")
    second.until(lambda: is_caught_up(settings), "it has committed everything")
    assert second.stop() == 0
    assert archived(settings, "EXPIRED") == [*events[:20], *events[40:]]


def test_lag_and_ends_are_exact_where_a_log_begins_late(settings: Settings) -> None:
    """Expired messages stay in the lag until the group reads on: they were not processed."""
    before = positions(settings, GROUP, DEAD_LETTER_TOPIC)
    assert (before.lag, message_count(settings, DEAD_LETTER_TOPIC)) == (0, 0)
    send(settings, DEAD_LETTER_TOPIC, [("key", b"old")] * 30)
    commit(settings, GROUP, DEAD_LETTER_TOPIC, 10)
    expire(settings, DEAD_LETTER_TOPIC)
    assert positions(settings, GROUP, DEAD_LETTER_TOPIC).lag == 20
    assert pending_since(settings, GROUP, DEAD_LETTER_TOPIC) is None
    sent_at = now()
    send(settings, DEAD_LETTER_TOPIC, [("key", b"new")] * 5)
    late = positions(settings, GROUP, DEAD_LETTER_TOPIC)
    assert sorted(late.ends.values()) == [0, 0, 0, 0, 0, 35], "five partitions are idle"
    assert (late.lag, message_count(settings, DEAD_LETTER_TOPIC)) == (25, 35)
    oldest = pending_since(settings, GROUP, DEAD_LETTER_TOPIC)
    assert oldest is not None
    assert abs((oldest - sent_at).total_seconds()) < 10
    commit(settings, GROUP, DEAD_LETTER_TOPIC, 5)
    assert positions(settings, GROUP, DEAD_LETTER_TOPIC).lag == 0
    assert pending_since(settings, GROUP, DEAD_LETTER_TOPIC) is None


def test_the_newest_heartbeat_is_found_in_a_compacted_log(settings: Settings) -> None:
    configure(settings, STATUS_TOPIC, {"segment.ms": 100, "min.cleanable.dirty.ratio": 0.001})
    first_ms = time.time_ns() // 1_000_000 + 3_600_000
    beats = [
        Heartbeat("archiver", "host:1:1", "streaming", 0, first_ms + number)
        for number in range(300)
    ]
    send(settings, STATUS_TOPIC, [("archiver", encode(one)) for one in beats])
    # The newest segment is never compacted, and a message that comes later begins a new one.
    time.sleep(0.3)
    newest = Heartbeat("archiver", "host:1:1", "streaming", 0, first_ms + 300)
    send(settings, STATUS_TOPIC, [("archiver", encode(newest))])
    end = message_count(settings, STATUS_TOPIC)
    eventually(
        lambda: len([1 for record in read_all(settings, STATUS_TOPIC) if record.value]) < end - 200,
        "the log is compacted",
    )
    assert heartbeats(settings)["archiver"].sent_at == newest.sent_at
    assert message_count(settings, STATUS_TOPIC) == end


def test_every_message_acknowledged_under_load_survives_a_kill_9(
    stack: Stack, settings: Settings
) -> None:
    acknowledged: list[bytes] = []

    def on_delivery(error: Any, message: Any) -> None:
        if error is None:
            acknowledged.append(message.value())

    producer = connect_producer(settings, on_delivery=on_delivery)

    def produce(count: int) -> None:
        for _ in range(count):
            producer.produce(LEADER_TOPIC, f"load {time.monotonic_ns()}".encode(), b"load")
            producer.poll(0)

    produce(20_000)
    eventually(lambda: producer.poll(0.01) or len(acknowledged) > 1_000, "some are acknowledged")
    stack.kill("kafka")
    before = len(acknowledged)
    produce(1_000)
    stack.restart("kafka")
    assert producer.flush(60) == 0
    assert 1_000 < before <= len(acknowledged) == 21_000
    kept = {record.value for record in read_all(settings, LEADER_TOPIC)}
    assert [value for value in acknowledged if value not in kept] == []
