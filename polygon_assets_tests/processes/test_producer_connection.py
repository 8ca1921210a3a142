"""The producer with a faulty connection: it reconnects with pauses and records what it missed.

Crashes of the producer and of Kafka belong to test_producer_crash.py.
"""

import hashlib
import json
import time

import pytest

from polygon_assets.messages import DeadLetter, unaccounted
from polygon_assets.streaming.delivery import LARGEST_RAW_BYTES
from polygon_assets_tests.parameters import first_few
from polygon_assets_tests.processes.harness import Program, dead_letters, eventually
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SERVERS, SYMBOLS, Live

__all__ = ["EXCHANGE_OPTIONS", "SERVERS"]


def assert_one_gap_covers_the_outage(live: Live, program: Program) -> None:
    """Assert that one gap spans the outage, from event to event, and no other second is lost."""
    program.until(live.gaps, "a gap is in the ledger")
    assert program.stop() == 0
    [gap] = live.gaps()
    before, after = live.sent()
    assert (gap.reason, gap.events_dropped) == ("disconnect", 0)
    assert before["last_second"] - 2 <= gap.since / 1000 <= before["last_second"]
    assert after["first_second"] + 1 <= gap.until / 1000 <= after["first_second"] + 10
    assert live.missing(*SYMBOLS) == []


@pytest.mark.parametrize("code", first_few(2, [1006, 1008, 1000, 1001, 1009, 1011]))
def test_after_any_close_code_it_reconnects_with_every_channel(live: Live, code: int) -> None:
    program = live.start(*SYMBOLS)
    before = live.newest()
    live.exchange.control("close", code=code)
    live.connection(program, SYMBOLS, after=before)
    assert_one_gap_covers_the_outage(live, program)


def test_a_cut_connection_and_a_vendor_that_is_away_for_a_while_leave_one_gap(live: Live) -> None:
    program = live.start(*SYMBOLS)
    before = live.newest()
    live.exchange.control("handshake", status=503, count=1)
    live.exchange.control("handshake", status=0, count=1)
    live.exchange.control("drop")
    live.connection(program, SYMBOLS, after=before)
    assert "backing_off: handshake refused with HTTP 503" in program.log
    assert_one_gap_covers_the_outage(live, program)


@pytest.mark.long
def test_a_gap_lasts_until_new_seconds_come_even_if_an_old_one_is_corrected_first(
    live: Live,
) -> None:
    program = live.start(*SYMBOLS)
    before = live.newest()
    live.exchange.control("silence", seconds=30)
    live.exchange.control("drop")
    program.until(
        lambda: any(
            connection["id"] > before and len(connection["channels"]) == len(SYMBOLS)
            for connection in live.exchange.connections()
        ),
        "it has reconnected",
    )
    old = live.sent()[0]["last_second"] * 1000
    eventually(lambda: time.time() * 1000 > old + 3500, "two more seconds have been due")
    event = {"ev": "A", "sym": "AAPL", "v": 1, "s": old, "e": old + 1000}
    event |= dict.fromkeys(("o", "c", "h", "l"), 1.0)
    corrected_ms = time.time() * 1000
    live.exchange.control("garbage", text=json.dumps([event]))
    program.until(
        lambda: any(item.open_price == 1.0 for item in live.received()), "the correction arrives"
    )
    live.exchange.clear()
    live.connection(program, SYMBOLS, after=before)
    program.until(lambda: live.newest_start() > old + 3000, "new seconds arrive")
    program.until(live.gaps, "a gap is in the ledger")
    assert program.stop() == 0
    assert [key for key in live.missing(*SYMBOLS) if key[1] < corrected_ms] == []


def test_after_max_connections_it_pauses_before_it_reconnects(live: Live) -> None:
    program = live.start(*SYMBOLS, MAX_CONNECTIONS_COOLDOWN_SECONDS="2")
    before = live.newest()
    evicted = time.time()
    live.exchange.control("evict")
    after = live.connection(program, SYMBOLS, after=before)
    assert after["id"] == before + 1
    assert after["opened_at"] - evicted >= 2
    assert (
        "backing_off: another connection uses this account: "
        "Maximum number of websocket connections exceeded." in program.log
    )
    assert_one_gap_covers_the_outage(live, program)


@pytest.mark.long
def test_a_vendor_that_drops_every_connection_gets_few_attempts(live: Live) -> None:
    program = live.start(*SYMBOLS)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        live.exchange.control("drop")
        time.sleep(0.02)
    # The pauses are at least 0.25, 0.5, 1 and 2 s, so the sixth connection comes after 7.75 s or
    # later.
    assert 2 <= len(live.connections_opened()) <= 5
    assert program.is_running()


def test_a_silent_connection_while_the_market_is_open_counts_as_dead(live: Live) -> None:
    program = live.start(*SYMBOLS, NO_DATA_SECONDS="3")
    before = live.newest()
    live.exchange.control("silence", seconds=30)
    program.wait_for_log("backing_off: no data for 3 s while the market is open")
    live.exchange.clear()
    live.connection(program, SYMBOLS, after=before)
    assert_one_gap_covers_the_outage(live, program)


def test_one_silent_channel_does_not_close_the_connection(live: Live) -> None:
    program = live.start("AAPL", "MSFT", NO_DATA_SECONDS="3")
    live.exchange.control("silence", channel="A.AAPL", seconds=30)
    silent_ms = time.time() * 1000
    program.until(lambda: live.newest_start() > silent_ms + 3000, "the other channel goes on")
    assert not any(symbol == "AAPL" and start > silent_ms for symbol, start in live.written())
    assert len(live.connections_opened()) == 1
    assert program.stop() == 0


def test_unreadable_frames_and_events_become_dead_letters_and_the_rest_streams(live: Live) -> None:
    program = live.start(*SYMBOLS)
    epoch = program.until(lambda: live.beat().epoch, "a heartbeat of this connection")
    long = "x" * (LARGEST_RAW_BYTES + 1)
    for body in ({"kind": "frame"}, {"kind": "event"}, {"kind": "large"}, {"text": long}):
        live.exchange.control("garbage", **body)
    letters = program.until(
        lambda: len(letters := dead_letters(live.settings)) >= 6 and letters, "six dead letters"
    )
    assert isinstance(letters, list)
    assert {(letter.program, letter.epoch) for letter in letters} == {("producer", epoch)}
    frames, events = (
        {letter.raw: letter for letter in letters if letter.stage == stage}
        for stage in ("frame", "event")
    )
    assert set(frames) == {b'[{"ev":"A","sym":"AAPL",}', b"x" * LARGEST_RAW_BYTES, b"x"}
    assert set(events) == {
        b'{"ev":"A","sym":"AAPL"}',
        b'{"ev":"A","sym":7,"v":"many","o":null,"s":"noon","e":[]}',
        b'{"sym":"AAPL","v":1}',
    }
    assert_reasons(frames, events)
    assert_whole(long.encode(), [letter for letter in letters if letter.parts])
    now_ms = time.time() * 1000
    program.until(lambda: live.newest_start() > now_ms, "it streams on")
    assert len(live.connections_opened()) == 1
    assert program.stop() == 0
    assert live.missing(*SYMBOLS) == []
    assert {gap.reason for gap in live.gaps()} == {"unreadable"}
    last = live.beat()
    assert last.counters["refused"] == 5
    assert unaccounted(last) == 0


def assert_reasons(frames: dict[bytes, DeadLetter], events: dict[bytes, DeadLetter]) -> None:
    assert all(
        letter.reason.startswith(("not JSON", "the frame is cut off")) for letter in frames.values()
    )
    assert all(letter.reason.startswith("not an aggregate") for letter in events.values())


def assert_whole(raw: bytes, letters: list[DeadLetter]) -> None:
    """Assert that the parts of a frame too long for one letter add up to the whole frame."""
    letters.sort(key=lambda letter: letter.part)
    assert [(letter.part, letter.parts) for letter in letters] == [(1, 2), (2, 2)]
    joined = b"".join(letter.raw for letter in letters)
    assert joined == raw
    assert {letter.sha256 for letter in letters} == {hashlib.sha256(raw).hexdigest()}


def test_a_slow_feed_loses_nothing_and_keeps_its_connection(live: Live) -> None:
    program = live.start(*SYMBOLS, NO_DATA_SECONDS="5")
    live.exchange.control("slow", delay=2, seconds=3)
    slow_ms = time.time() * 1000
    program.until(lambda: live.newest_start() > slow_ms + 2000, "seconds arrive")
    assert len(live.connections_opened()) == 1
    assert program.stop() == 0
    assert live.missing(*SYMBOLS) == []


@pytest.mark.long
def test_late_seconds_among_newer_ones_are_written(live: Live) -> None:
    program = live.start(*SYMBOLS)
    live.exchange.control("late", minutes=0.05, seconds=2)
    late_ms = time.time() * 1000
    eventually(lambda: live.newest_start() > late_ms + 4000, "the late seconds have come")
    newest = live.beat().newest_event
    assert newest is not None
    assert newest > late_ms
    assert program.stop() == 0
    order = [
        item.start_timestamp for item in live.received() if item.start_timestamp > late_ms - 2000
    ]
    assert order != sorted(order)
    sent = live.sent()
    # The exchange holds the late seconds back by 3 s, so the last 3 s may not have come yet.
    assert [
        key for key in live.missing(*SYMBOLS) if key[1] / 1000 < sent[-1]["last_second"] - 3
    ] == []
    assert live.gaps() == []
