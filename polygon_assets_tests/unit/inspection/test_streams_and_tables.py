"""Facts read from the embedded broker and the embedded ClickHouse.

The embedded broker reports wrong LATEST offsets, so the readers must not rely on them.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from polygon_assets.clients import clickhouse
from polygon_assets.clients.kafka import connect_consumer, connect_producer
from polygon_assets.inspection import (
    ClickHouseUnreachableError,
    KafkaUnreachableError,
)
from polygon_assets.inspection.streams import (
    follow_heartbeats,
    heartbeats,
    instances,
    last_processed,
    pending_since,
    positions,
    reported_gaps,
    standbys,
    waiting_since,
)
from polygon_assets.inspection.tables import day_rows, not_stored, tables
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.messages import FilteredAggregate, Gap, Heartbeat, ProgramName, encode
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTERED_TOPIC, GAP_TOPIC, RAW_TOPIC, SINK_GROUP, STATUS_TOPIC

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
NOWHERE = Settings(
    kafka_bootstrap_servers="127.0.0.1:1",
    clickhouse_host="127.0.0.1",
    clickhouse_port=1,
    clickhouse_secure=False,
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(
        tmp_path_factory.mktemp("stack"), only=("kafka", "clickhouse"), fixed_ports=False
    ) as running:
        yield running


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """The settings of a restarted, hence empty broker: each test starts with empty topics."""
    stack.restart("kafka")
    return stack.settings()


def send(settings: Settings, topic: str, *pairs: tuple[str, bytes | None]) -> None:
    """Send all messages as one batch for each partition."""
    producer = connect_producer(settings)
    for key, value in pairs:
        producer.produce(topic, value, key)
    assert producer.flush(10) == 0


def beat(program: ProgramName, sent_at: int, instance: str = "host:1:1") -> tuple[str, bytes]:
    return program, encode(Heartbeat(program, instance, "streaming", 0, sent_at))


def aggregate(symbol: str, second: int, received_at: int = 1_000_000) -> FilteredAggregate:
    start = int(NOW.timestamp() * 1000) + 1000 * second
    readable = dt.datetime.fromtimestamp(start / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    prices: dict[str, Any] = {
        "open": 1.0,
        "high": 2.0,
        "low": 1.0,
        "close": 2.0,
        "volume": "1.5",
        "vwap": None,
    }
    rest: dict[str, Any] = {
        "accumulated_volume": None,
        "official_open_price": None,
        "aggregate_vwap": None,
        "average_size": None,
    }
    return FilteredAggregate(
        symbol,
        start,
        start + 1000,
        **prices,
        **rest,
        otc=False,
        received_at=received_at,
        source="websocket",
        readable_timestamp=readable,
    )


def filtered(*aggregates: FilteredAggregate) -> list[tuple[str, bytes | None]]:
    return [(aggregate.symbol, encode(aggregate)) for aggregate in aggregates]


def commit(settings: Settings, group: str, topic: str, messages: int) -> None:
    """Let `group` process and commit the first `messages` messages of `topic`."""
    consumer = connect_consumer(settings, group)
    consumer.subscribe([topic])
    while messages:
        if message := consumer.poll(0.2):
            assert message.error() is None
            consumer.store_offsets(message)
            messages -= 1
    consumer.commit(asynchronous=False)
    consumer.close()


class TestHeartbeats:
    def test_the_latest_of_each_program_is_found_in_a_single_large_batch(
        self, settings: Settings
    ) -> None:
        send(
            settings,
            STATUS_TOPIC,
            *[beat("sink", n) for n in range(200)],
            *[beat("filter", n) for n in range(100)],
        )
        assert {name: heartbeat.sent_at for name, heartbeat in heartbeats(settings).items()} == {
            "sink": 199,
            "filter": 99,
        }

    def test_an_empty_topic_has_no_heartbeats(self, settings: Settings) -> None:
        assert heartbeats(settings) == {}

    def test_the_end_of_a_standby_hides_no_leader(self, settings: Settings) -> None:
        send(settings, STATUS_TOPIC, beat("producer", 1))
        for standby in (
            Heartbeat("producer", "host:2:2", "standby", 0, 2, is_standby=True),
            Heartbeat("producer", "host:3:3", "stopped", 0, 2, is_standby=True),
        ):
            send(settings, STATUS_TOPIC, (f"producer:{standby.instance}", encode(standby)))
        assert heartbeats(settings)["producer"].instance == "host:1:1"
        assert list(standbys(settings)) == ["host:2:2"]

    def test_copies_that_share_a_topic_are_one_and_each_is_found(self, settings: Settings) -> None:
        at = 1_000_000
        beats = [
            encode(Heartbeat("sink", f"host:{n}:1", "streaming", at, at + n, lag=10**n))
            for n in range(3)
        ]
        others = [beat("filter", at + second) for second in range(60)]
        send(settings, STATUS_TOPIC, *(("sink", one) for one in beats), *others)
        several = settings.model_copy(update={"sink_copies": 3})
        assert heartbeats(settings)["sink"].lag == 100
        assert heartbeats(several)["sink"].lag == 111
        assert heartbeats(several, other_than="host:2:1")["sink"].lag == 10
        assert sorted(one.lag or 0 for one in instances(settings, "sink")) == [1, 10, 100]

    def test_an_unreadable_heartbeat_hides_no_other(self, settings: Settings) -> None:
        tomorrow = (time.time_ns() // 1_000_000) + 2 * 86_400_000
        strange = [
            b"not json",
            None,
            beat("sink", 10**18)[1],
            beat("sink", tomorrow)[1],
            beat("sink", -1)[1],
            beat("sink", 3)[1].replace(b'"sink"', b'"watcher"'),
        ]
        send(settings, STATUS_TOPIC, beat("sink", 1), *(("sink", value) for value in strange))
        send(settings, STATUS_TOPIC, beat("producer", 2))
        found = heartbeats(settings)
        assert {name: found[name].sent_at for name in found} == {"sink": 1, "producer": 2}

    @pytest.mark.long
    def test_a_follower_gets_heartbeats_as_they_come_and_survives_a_restart_of_the_broker(
        self, stack: Stack, settings: Settings
    ) -> None:
        received: list[int] = []
        stop = threading.Event()

        def follow() -> None:
            while not stop.is_set():
                try:
                    for heartbeat in follow_heartbeats(settings, stop):
                        received.extend([heartbeat.sent_at] if heartbeat else [])
                except KafkaUnreachableError:
                    stop.wait(0.1)

        thread = threading.Thread(target=follow)
        thread.start()
        send(settings, STATUS_TOPIC, beat("sink", 1))
        until(lambda: 1 in received)
        stack.restart("kafka")
        send(settings, STATUS_TOPIC, beat("sink", 2))
        until(lambda: 2 in received)
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


class TestOffsets:
    def test_the_lag_counts_the_messages_after_the_commit_up_to_the_true_end(
        self, settings: Settings
    ) -> None:
        send(settings, FILTERED_TOPIC, *filtered(*[aggregate(f"S{n}", n) for n in range(100)]))
        assert positions(settings, SINK_GROUP, FILTERED_TOPIC).lag == 100
        commit(settings, SINK_GROUP, FILTERED_TOPIC, 60)
        assert positions(settings, SINK_GROUP, FILTERED_TOPIC).lag == 40

    def test_a_topic_that_does_not_exist_is_empty(self, settings: Settings) -> None:
        assert positions(settings, SINK_GROUP, "nosuch").lag == 0
        assert pending_since(settings, SINK_GROUP, "nosuch") is None

    def test_pending_since_is_the_arrival_of_the_oldest_waiting_message(
        self, settings: Settings
    ) -> None:
        moments = [aggregate(f"S{n}", n, received_at=1_000_000 * (n + 1)) for n in range(30)]
        send(settings, FILTERED_TOPIC, *filtered(*moments))
        assert pending_since(settings, SINK_GROUP, FILTERED_TOPIC) == dt.datetime.fromtimestamp(
            1, dt.UTC
        )
        commit(settings, SINK_GROUP, FILTERED_TOPIC, 30)
        assert pending_since(settings, SINK_GROUP, FILTERED_TOPIC) is None

    def test_a_message_that_was_received_long_ago_waits_since_it_was_published(
        self, settings: Settings
    ) -> None:
        old = aggregate("S1", 1, received_at=1_000_000)
        send(settings, FILTERED_TOPIC, *filtered(old))
        since = waiting_since(settings, SINK_GROUP, FILTERED_TOPIC)
        assert since is not None
        assert abs(since - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
        assert pending_since(settings, SINK_GROUP, FILTERED_TOPIC) == dt.datetime.fromtimestamp(
            1, dt.UTC
        )
        commit(settings, SINK_GROUP, FILTERED_TOPIC, 1)
        assert waiting_since(settings, SINK_GROUP, FILTERED_TOPIC) is None

    def test_an_unreadable_message_is_pending_since_it_was_produced(
        self, settings: Settings
    ) -> None:
        wild = b'{"received_at":1000000000000000000}'
        send(settings, RAW_TOPIC, ("X", b"\xff not json"), ("X", None), ("X", wild))
        since = pending_since(settings, "any", RAW_TOPIC)
        assert since is not None
        assert abs(since - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)

    def test_the_last_processed_messages_lie_below_the_committed_offsets(
        self, settings: Settings
    ) -> None:
        sent = [aggregate(f"S{n % 7}", n) for n in range(70)]
        send(settings, FILTERED_TOPIC, *filtered(*sent))
        assert last_processed(settings, SINK_GROUP, FILTERED_TOPIC, 5) == []
        commit(settings, SINK_GROUP, FILTERED_TOPIC, 70)
        processed = last_processed(settings, SINK_GROUP, FILTERED_TOPIC, 5)
        filled_partitions = sum(
            1 for end in positions(settings, SINK_GROUP, FILTERED_TOPIC).ends.values() if end
        )
        assert len(processed) == 5 * filled_partitions
        assert all(message in sent for message in processed)


class TestGaps:
    def test_reported_gaps_come_oldest_first_and_a_message_without_value_closes_one(
        self, settings: Settings
    ) -> None:
        gaps = [Gap(f"g{n}", "disconnect", 100 - n, 200, 1) for n in range(3)]
        send(settings, GAP_TOPIC, *[(gap.gap_id, encode(gap)) for gap in gaps])
        send(settings, GAP_TOPIC, ("g1", None))
        assert [gap.gap_id for gap in reported_gaps(settings)] == ["g2", "g0"]

    def test_an_unreadable_report_is_an_entry_for_a_person_and_the_others_are_read(
        self, settings: Settings
    ) -> None:
        gap = Gap("g", "disconnect", 100, 200, 1)
        send(settings, GAP_TOPIC, ("bad", b"{}"), ("worse", b"\xff"), (gap.gap_id, encode(gap)))
        reports = reported_gaps(settings)
        assert [entry.gap_id for entry in reports if entry.is_readable] == ["g"]
        unreadable = [entry for entry in reports if not entry.is_readable]
        assert len({entry.gap_id for entry in unreadable}) == 2
        for entry in unreadable:
            assert entry.state == "unfillable"
            assert "polygon_stream_gaps, partition" in entry.note
            assert abs(entry.since - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)

    def test_a_message_that_is_no_row_hides_no_processed_message(self, settings: Settings) -> None:
        row = aggregate("S", 1)
        send(settings, FILTERED_TOPIC, ("S", b"garbage"), *filtered(row))
        commit(settings, SINK_GROUP, FILTERED_TOPIC, 2)
        assert last_processed(settings, SINK_GROUP, FILTERED_TOPIC, 5) == [row]


class TestRows:
    @pytest.fixture(autouse=True)
    def stored(self, stack: Stack) -> None:
        client = clickhouse.connect(stack.settings())
        rows = b"\n".join(
            encode(aggregate(symbol, second)) for symbol in ("A", "B") for second in range(10)
        )
        client.command("TRUNCATE TABLE market.stock_aggregates")
        client.raw_insert("market.stock_aggregates_ingest", insert_block=rows, fmt="JSONEachRow")
        client.close()

    def test_tables_have_rows_and_a_newest_time(self, stack: Stack) -> None:
        facts = tables(stack.settings())["market.stock_aggregates"]
        assert (facts.rows, facts.newest) == (20, NOW + dt.timedelta(seconds=9))

    def test_an_empty_table_has_no_newest_time(self, stack: Stack) -> None:
        assert tables(stack.settings())["market.ohlcv_1m_by_day"].newest is None

    def test_a_days_rows_are_those_of_its_new_york_date(self, stack: Stack) -> None:
        empty = dt.date(2020, 1, 1)
        assert day_rows(stack.settings(), [NOW.date(), empty]) == {NOW.date(): 20, empty: 0}

    def test_a_message_is_stored_when_this_version_or_a_newer_one_is(self, stack: Stack) -> None:
        same, older, newer = (
            aggregate("A", 1),
            aggregate("A", 2, 999_999),
            aggregate("A", 3, 1_000_001),
        )
        other_second, other_symbol = aggregate("A", 11), aggregate("C", 1)
        assert not_stored(stack.settings(), [same, older]) == []
        assert not_stored(stack.settings(), [same, newer, other_second, other_symbol]) == [
            newer,
            other_second,
            other_symbol,
        ]
        assert not_stored(stack.settings(), []) == []


class TestUnreachable:
    def test_a_missing_setting_is_named(self) -> None:
        with pytest.raises(KafkaUnreachableError, match=r"^not set: KAFKA_BOOTSTRAP_SERVERS;"):
            heartbeats(Settings(kafka_bootstrap_servers=""))
        with pytest.raises(ClickHouseUnreachableError, match=r"^not set: CLICKHOUSE_HOST;"):
            tables(Settings(clickhouse_host=""))

    def test_an_unreachable_server_is_reported_at_once(self) -> None:
        began = time.monotonic()
        with pytest.raises(KafkaUnreachableError, match=r"127\.0\.0\.1:1: .*refused"):
            reported_gaps(NOWHERE)
        with pytest.raises(ClickHouseUnreachableError, match=r"ClickHouse at 127\.0\.0\.1:1"):
            tables(NOWHERE)
        assert time.monotonic() - began < 10

    def test_an_unusable_address_is_named(self) -> None:
        with pytest.raises(KafkaUnreachableError, match="broker-without-port"):
            heartbeats(Settings(kafka_bootstrap_servers="broker-without-port"))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)
