"""Crashes of the producer and of Kafka: every event sent is in the topic or within a gap.

Faulty connections to the vendor belong to test_producer_connection.py.
"""

import signal
import time

import pytest

from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import unaccounted
from polygon_assets.streaming.program import EXIT_WRONG_KEY
from polygon_assets_tests.processes.harness import put_in_force
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SERVERS, SYMBOLS, Live

__all__ = ["EXCHANGE_OPTIONS", "SERVERS"]

TINY_QUEUE = """
from polygon_assets.clients import kafka
connect = kafka.connect_producer
kafka.connect_producer = lambda settings, **options: connect(
    settings, **{"queue.buffering.max.messages": 200, **options}
)
"""


def test_kill_9_leaves_a_gap_from_its_last_heartbeat_to_the_first_new_event(live: Live) -> None:
    first = live.start(*SYMBOLS)
    first_ms = live.sent()[0]["first_second"] * 1000
    live.beat_with(first, lambda last: (last.newest_event or 0) >= first_ms)
    first.kill()
    last = live.beat()
    before = live.newest()
    second = live.start(*SYMBOLS)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    assert (gap.reason, gap.since, gap.epoch) == ("crash", last.newest_event, last.epoch)
    assert (
        gap.until / 1000
        >= live.connection(second, SYMBOLS, after=before)["sent"]["first_second"] + 1
    )
    assert second.stop() == 0
    assert live.missing(*SYMBOLS) == []


@pytest.mark.long
def test_a_crash_leaves_a_gap_even_if_the_broker_comes_back_after_the_producer(
    stack: Stack, live: Live
) -> None:
    first = live.start(*SYMBOLS)
    first_ms = live.sent()[0]["first_second"] * 1000
    live.beat_with(first, lambda last: (last.newest_event or 0) >= first_ms)
    first.kill()
    last = live.beat()
    broker = stack.process("kafka")
    broker.send(signal.SIGSTOP)
    try:
        second = live.start(*SYMBOLS)
        second.wait_for_log("last heartbeat is not known")
    finally:
        broker.send(signal.SIGCONT)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    assert (gap.reason, gap.since, gap.epoch) == ("crash", last.newest_event, last.epoch)
    assert second.stop() == 0
    assert live.missing(*SYMBOLS) == []


@pytest.mark.long
def test_a_gap_still_open_at_the_stop_is_recorded_by_the_next_start(live: Live) -> None:
    first = live.start("AAPL", "MSFT")
    # The vendor does not answer requests for channels that it does not publish.
    put_in_force(live.settings, "A.AAPL", "A.MSFT", "X.SILENT")
    first.until(lambda: live.beat().desired == 3, "it requests the third channel")
    before = live.newest()
    live.exchange.control("silence", seconds=2)
    live.exchange.control("drop")
    lost_s = live.sent()[0]["last_second"]
    back = live.connection(first, ["AAPL", "MSFT"], after=before)
    first.until(
        lambda: live.newest_start() >= back["sent"]["first_second"] * 1000, "events come again"
    )
    assert first.stop() == 0
    put_in_force(live.settings, "A.AAPL", "A.MSFT")
    second = live.start("AAPL", "MSFT")
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    assert gap.reason == "stop"
    assert gap.since / 1000 <= lost_s
    assert second.stop() == 0
    assert live.missing("AAPL", "MSFT") == []


@pytest.mark.long
def test_a_process_that_never_streamed_hides_no_gap(live: Live) -> None:
    first = live.start(*SYMBOLS)
    first.until(live.written, "events arrive")
    assert first.stop() == 0
    newest = live.newest_start()
    assert live.programs.start("producer", POLYGON_API_KEY="wrong").exit_code() == EXIT_WRONG_KEY
    third = live.start(*SYMBOLS)
    [gap] = third.until(live.gaps, "a gap is in the ledger")
    assert (gap.reason, gap.since) == ("stop", newest)
    assert third.stop() == 0
    assert live.missing(*SYMBOLS) == []


def test_the_time_between_a_clean_stop_and_the_next_start_is_a_gap(live: Live) -> None:
    first = live.start(*SYMBOLS)
    first.until(live.written, "events arrive")
    assert first.stop() == 0
    newest = live.newest_start()
    second = live.start(*SYMBOLS)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    assert (gap.reason, gap.since) == ("stop", newest)
    assert second.stop() == 0
    assert live.missing(*SYMBOLS) == []


@pytest.mark.long
def test_events_of_a_broker_outage_are_delivered_when_the_broker_is_back(
    stack: Stack, live: Live
) -> None:
    program = live.start(*SYMBOLS)
    before = live.newest()
    stack.kill("kafka")
    killed_ms = time.time() * 1000
    program.until(
        lambda: live.sent()[-1]["last_second"] * 1000 > killed_ms + 2000,
        "events come during the outage",
    )
    stack.restart("kafka")
    program.until(lambda: live.newest_start() > killed_ms + 4000, "it streams on")
    assert live.newest() == before
    assert program.stop() == 0
    # The embedded broker has lost the messages from before the kill.
    assert [key for key in live.missing(*SYMBOLS) if key[1] > killed_ms] == []
    assert live.gaps() == []


@pytest.mark.long
def test_a_full_queue_first_pauses_reading_and_then_counts_every_drop(
    stack: Stack, live: Live
) -> None:
    program = live.start("*", prelude=TINY_QUEUE)
    symbols = live.truth.market.universe.symbols
    broker = stack.process("kafka")
    broker.send(signal.SIGSTOP)
    try:
        program.wait_for_log("the queue to Kafka is full")
    finally:
        broker.send(signal.SIGCONT)
    program.until(live.gaps, "a gap is in the ledger")
    assert program.stop() == 0
    gaps, counters = live.gaps(), live.beat().counters
    assert {gap.reason for gap in gaps} == {"drop"}
    assert sum(gap.events_dropped for gap in gaps) == counters["dropped"] > 0
    assert counters["forwarded"] + counters["dropped"] == sum(
        part["events"] for part in live.sent()
    )
    assert unaccounted(live.beat()) == 0
    assert len(live.received()) >= counters["forwarded"]
    assert live.missing(*symbols) == []
