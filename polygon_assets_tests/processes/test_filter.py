"""The filter as a process: it forwards, refuses or drops each message, and no crash loses one.

Rules for single messages belong to unit/streaming/test_validation.py.
"""

import msgspec
import pytest

from polygon_assets.inspection.streams import positions
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import (
    LATEST_MS,
    FilteredAggregate,
    RawAggregate,
    decode_filtered,
    encode,
)
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTER_GROUP, FILTERED_TOPIC, RAW_TOPIC
from polygon_assets_tests.processes.harness import (
    Programs,
    beat,
    dead_letters,
    eventually,
    gaps,
    put_in_force,
    read_all,
    send,
    send_raw,
)
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

SERVERS = ("kafka", "s3")


def seconds_of(symbol: str, count: int, first: int = 0) -> list[RawAggregate]:
    """`count` consecutive aggregates of a symbol."""
    starts = [START_MS + number * 1000 for number in range(first, first + count)]
    return [
        raw_aggregate(
            symbol=symbol,
            start_timestamp=start,
            end_timestamp=start + 1000,
            received_at=(start + 3000) * 1000,
        )
        for start in starts
    ]


def filtered(settings: Settings, symbol: str) -> list[FilteredAggregate]:
    rows = [decode_filtered(record.value) for record in read_all(settings, FILTERED_TOPIC)]
    return [row for row in rows if row.symbol == symbol]


def starts(rows: list[FilteredAggregate]) -> set[int]:
    return {row.start_timestamp for row in rows}


def test_each_message_is_forwarded_refused_or_dropped_and_then_committed(
    settings: Settings, programs: Programs
) -> None:
    put_in_force(settings, "A.AAPL")
    send_raw(settings, [*seconds_of("AAPL", 3), *seconds_of("MSFT", 2), raw_aggregate(low=-1.0)])
    send(
        settings,
        RAW_TOPIC,
        [("AAPL", b"{broken"), ("AAPL", encode(raw_aggregate()).replace(b"AAPL", b"AA\xff"))],
    )
    program = programs.start("filter")
    eventually(
        lambda: positions(settings, FILTER_GROUP, RAW_TOPIC).lag == 0,
        "the filter has committed everything",
    )
    assert starts(filtered(settings, "AAPL")) == {START_MS, START_MS + 1000, START_MS + 2000}
    assert filtered(settings, "MSFT") == []
    letters = {letter.reason.split(":")[0]: letter for letter in dead_letters(settings)}
    assert {letter.raw[:7] for letter in dead_letters(settings)} >= {b"{broken"}
    assert "not a raw aggregate" in letters
    price = letters["prices must be > 0 and low <= open, close <= high"]
    assert (price.program, price.stage, price.topic) == ("filter", "validate", RAW_TOPIC)
    assert price.offset is not None
    assert program.stop() == 0
    assert "drained" in program.log
    last = beat(settings, "filter")
    assert last is not None
    counters = last.counters
    assert (counters["forwarded"], counters["refused"]) == (3, 3)
    assert counters["unsubscribed"] >= 2  # includes messages of other tests in the topic
    assert (
        counters["read"] == counters["forwarded"] + counters["refused"] + counters["unsubscribed"]
    )


def test_a_symbol_is_kept_as_soon_as_its_set_is_published(
    settings: Settings, programs: Programs
) -> None:
    put_in_force(settings, "A.AAPL")
    program = programs.start("filter")
    program.wait_for_log("filter streaming")
    put_in_force(settings, "A.AAPL", "A.NVDA")
    after_any_set_us = 1000 * LATEST_MS
    event = msgspec.structs.replace(raw_aggregate(symbol="NVDA"), received_at=after_any_set_us)
    send_raw(settings, [event])
    program.until(lambda: filtered(settings, "NVDA"), "the new symbol is forwarded")


def test_kill_9_loses_nothing(settings: Settings, programs: Programs) -> None:
    put_in_force(settings, "A.KILL")
    first = programs.start("filter")
    first.wait_for_log("filter streaming")
    send_raw(settings, seconds_of("KILL", 20_000))
    eventually(lambda: len(filtered(settings, "KILL")) > 0, "some are through")
    first.kill()
    send_raw(settings, seconds_of("KILL", 1000, first=20_000))
    second = programs.start("filter")
    eventually(lambda: len(starts(filtered(settings, "KILL"))) == 21_000, "all are through")
    assert second.stop() == 0


@pytest.mark.long
def test_two_copies_share_the_partitions_and_the_survivor_takes_all(
    settings: Settings, programs: Programs
) -> None:
    put_in_force(settings, "A.*")
    copies = [programs.start("filter"), programs.start("filter")]
    eventually(
        lambda: all(
            "partitions [0, 1, 2]" in copy.log or "partitions [3, 4, 5]" in copy.log
            for copy in copies
        ),
        "three each",
    )
    assert copies[0].stop() == 0
    copies[1].wait_for_log("partitions [0, 1, 2, 3, 4, 5]")
    assert copies[1].stop() == 0


def test_without_an_accepted_set_the_filter_waits_and_logs_the_cure(programs: Programs) -> None:
    program = programs.start("filter", SUBSCRIPTIONS_KEY="other.csv")
    program.wait_for_log("waiting: nothing is published yet: materialize s3/subscriptions")
    assert program.stop() == 0


@pytest.mark.apache_kafka
def test_a_broker_that_kept_its_data_costs_nothing(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    put_in_force(settings, "A.KEPT")
    program = programs.start("filter")
    program.wait_for_log("filter streaming")
    events = seconds_of("KEPT", 30)
    send_raw(settings, events[:20])
    program.until(lambda: len(starts(filtered(settings, "KEPT"))) == 20, "it reads")
    stack.kill("kafka")
    stack.restart("kafka")
    send_raw(settings, events[20:])
    program.until(lambda: len(starts(filtered(settings, "KEPT"))) == 30, "the filter goes on")
    assert gaps(settings) == []
    assert program.stop() == 0


@pytest.mark.long
@pytest.mark.embedded_kafka
def test_a_broker_that_lost_its_data_leaves_a_gap_and_does_not_end_the_filter(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    put_in_force(settings, "A.BACK")
    program = programs.start("filter")
    program.wait_for_log("filter streaming")
    events = seconds_of("BACK", 30)
    send_raw(settings, events[:20])
    program.until(lambda: len(starts(filtered(settings, "BACK"))) == 20, "it reads")
    stack.kill("kafka")
    stack.restart("kafka")
    send_raw(settings, events[20:])
    program.until(lambda: len(starts(filtered(settings, "BACK"))) == 10, "the filter goes on")
    [gap] = program.until(lambda: gaps(settings), "the loss is in the ledger")
    assert (gap.reason, gap.gap_id) == ("broker", f"filter-{gap.since}-{gap.until}")
    first_ms, last_ms = events[20].end_timestamp, events[29].received_at // 1000
    assert gap.since == events[19].start_timestamp
    assert first_ms <= gap.until <= last_ms
    assert program.stop() == 0
