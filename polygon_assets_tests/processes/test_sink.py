"""The sink as a process: each accepted row is in ClickHouse once after any crash.

A bad row costs only itself. Batches without a process belong to unit/streaming.
"""

import json
from functools import partial

import pytest

from polygon_assets.events.validation import to_row
from polygon_assets.inspection.streams import positions, reported_gaps
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import Heartbeat, RawAggregate, encode, utc
from polygon_assets.serving import heartbeat_history
from polygon_assets.settings import Settings
from polygon_assets.streaming.rows import to_table
from polygon_assets.topics import FILTERED_TOPIC, SINK_GROUP
from polygon_assets_tests.planted_secrets import PLANTED, leaks
from polygon_assets_tests.processes.harness import (
    Programs,
    beat,
    connect_clickhouse,
    dead_letters,
    eventually,
    final_rows,
    send,
)
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

SERVERS = ("kafka", "s3", "clickhouse")


def second_of(symbol: str, number: int, *, version: int = 0, close: float = 25.41) -> RawAggregate:
    """The aggregate of one second; a later version was received later."""
    start = START_MS + number * 1000
    received_us = (start + 3000) * 1000 + version
    return raw_aggregate(
        symbol=symbol,
        start_timestamp=start,
        end_timestamp=start + 1000,
        received_at=received_us,
        close_price=close,
    )


def send_rows(settings: Settings, aggregates: list[RawAggregate]) -> None:
    send(settings, FILTERED_TOPIC, ((item.symbol, encode(to_row(item))) for item in aggregates))


def is_caught_up(settings: Settings) -> bool:
    return positions(settings, SINK_GROUP, FILTERED_TOPIC).lag == 0


def row_count(settings: Settings, symbol: str) -> int:
    client = connect_clickhouse(settings)
    query = """
        SELECT uniqExact(start_timestamp) FROM market.stock_aggregates
        WHERE symbol = {symbol:String}
    """
    [[count]] = client.query(query, parameters={"symbol": symbol}).result_rows
    return int(count)


def has_more_rows(settings: Settings, symbol: str, count: int) -> bool:
    return row_count(settings, symbol) > count


def test_rows_arrive_exactly_and_the_newest_version_wins(
    settings: Settings, programs: Programs
) -> None:
    first, corrected = second_of("AAPL", 0), second_of("AAPL", 0, version=7, close=25.40)
    fractional = second_of("AAPL", 1)
    fractional.decimal_volume = "200.123456"
    send_rows(settings, [corrected, first, fractional, first])
    program = programs.start("sink")
    eventually(lambda: is_caught_up(settings), "the sink has committed everything")
    rows = final_rows(connect_clickhouse(settings), "AAPL")
    assert rows == [
        (START_MS, 25.40, "200", corrected.received_at),
        (START_MS + 1000, 25.41, "200.123456", fractional.received_at),
    ]
    assert program.stop() == 0
    last = beat(settings, "sink")
    assert last is not None
    assert last.state == "stopped"
    assert last.counters["forwarded"] == last.counters["read"] >= 4


@pytest.mark.long
def test_kill_9_in_the_middle_of_inserts_changes_nothing(
    settings: Settings, programs: Programs
) -> None:
    expected = [
        (START_MS + number * 1000, 25.41, "200", second_of("KILL", number).received_at)
        for number in range(6_000)
    ]
    for rows_before in (0, 2_000, 4_000):
        program = programs.start("sink", SINK_MAX_ROWS="100")
        program.wait_for_log("sink streaming")
        numbers = range(rows_before, rows_before + 2_000)
        send_rows(settings, [second_of("KILL", number) for number in numbers])
        program.until(partial(has_more_rows, settings, "KILL", rows_before), "inserts are going on")
        program.kill()
    send_rows(settings, [second_of("KILL", number) for number in range(0, 6_000, 7)])
    program = programs.start("sink")
    program.until(lambda: is_caught_up(settings), "the sink has committed everything")
    assert final_rows(connect_clickhouse(settings), "KILL") == expected
    assert program.stop() == 0


def test_a_bad_row_goes_to_the_dead_letters_and_the_rest_goes_in(
    settings: Settings, programs: Programs
) -> None:
    row = json.loads(encode(to_row(second_of("BAD", 1000))))
    bad = [
        b"{broken",
        json.dumps(row | {"volume": "many"}).encode(),
        json.dumps(row | {"close": None}).encode(),
        # The year 2286: a valid row that only ClickHouse refuses.
        json.dumps(row | {"start_timestamp": 10**13}).encode(),
    ]
    good = [("BAD", encode(to_row(second_of("BAD", number)))) for number in range(300)]
    send(
        settings,
        FILTERED_TOPIC,
        [
            *good[:100],
            ("BAD", bad[0]),
            *good[100:200],
            ("BAD", bad[1]),
            ("BAD", bad[2]),
            ("BAD", bad[3]),
            *good[200:],
        ],
    )
    program = programs.start("sink")
    eventually(lambda: row_count(settings, "BAD") == 300, "the good rows are in")
    eventually(lambda: is_caught_up(settings), "the sink has committed everything")
    letters = [letter for letter in dead_letters(settings) if letter.program == "sink"]
    assert {letter.raw for letter in letters} == set(bad)
    assert {(letter.stage, letter.topic) for letter in letters} == {("insert", FILTERED_TOPIC)}
    assert program.stop() == 0


@pytest.mark.long
def test_it_waits_for_clickhouse_and_then_goes_on(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    program = programs.start("sink", SINK_MAX_ROWS="200")
    program.wait_for_log("sink streaming")
    stack.kill("clickhouse")
    send_rows(settings, [second_of("AWAY", number) for number in range(2000)])
    program.wait_for_log("backing_off: ClickHouse")
    stack.restart("clickhouse")
    program.until(lambda: row_count(settings, "AWAY") == 2000, "every row is in")
    assert program.is_running()
    assert program.stop() == 0


@pytest.mark.long
def test_a_stop_while_clickhouse_is_away_does_not_count_as_drained(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    program = programs.start("sink", DRAIN_SECONDS="1")
    program.wait_for_log("sink streaming")
    stack.kill("clickhouse")
    send_rows(settings, [second_of("LATE", number) for number in range(10)])
    program.wait_for_log("backing_off: ClickHouse")
    assert program.stop() == 13
    stack.restart("clickhouse")
    programs.start("sink")
    eventually(lambda: row_count(settings, "LATE") == 10, "the next sink has inserted the rows")


@pytest.mark.long
@pytest.mark.embedded_kafka
def test_what_a_broker_without_memory_lost_while_the_sink_was_down_is_a_gap(
    stack: Stack, settings: Settings, programs: Programs
) -> None:
    """Ten minutes are streamed, the first one is stored, and then the broker starts again."""
    stored, streamed, later = (second_of("LOST", number) for number in (20_060, 20_600, 20_660))
    client = connect_clickhouse(settings)
    client.insert_arrow("market.stock_aggregates", to_table([encode(to_row(stored))]))
    sent_at = streamed.received_at // 1000
    beat_of_producer = Heartbeat(
        "producer", "a", "streaming", sent_at, sent_at, newest_event=streamed.start_timestamp
    )
    heartbeat_history.store(client, [beat_of_producer])
    stack.kill("kafka")
    stack.restart("kafka")
    send_rows(settings, [later])
    program = programs.start("sink")
    program.until(lambda: is_caught_up(settings), "the sink has committed everything")
    [gap] = reported_gaps(settings)
    assert (gap.cause, gap.since, gap.until) == (
        "broker",
        utc(stored.start_timestamp),
        utc(streamed.end_timestamp),
    )
    assert program.stop() == 0
    program = programs.start("sink")
    send_rows(settings, [second_of("LOST", 20_661)])
    program.until(lambda: row_count(settings, "LOST") == 3, "the sink goes on")
    assert len(reported_gaps(settings)) == 1
    assert program.stop() == 0


def test_refused_passwords_appear_in_no_log_heartbeat_or_command_line(
    settings: Settings, programs: Programs
) -> None:
    send_rows(settings, [second_of("SECRET", 0)])
    wrong_clickhouse = programs.start("sink", **PLANTED)
    wrong_kafka = programs.start(
        "filter", **PLANTED, KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT", KAFKA_SASL_USERNAME="user"
    )
    # Before the filter ends: a broker that refuses its login ends it.
    assert leaks(wrong_clickhouse.command_line() + wrong_kafka.command_line()) == []
    wrong_clickhouse.wait_for_log("Authentication failed")
    wrong_kafka.wait_for_log("SASL")
    assert leaks(wrong_clickhouse.log + wrong_kafka.log) == []
    heartbeat = eventually(lambda: beat(settings, "sink"), "the sink has a heartbeat")
    assert leaks(encode(heartbeat).decode()) == []
