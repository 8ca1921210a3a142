"""Refused bytes from the programs into the table, and from the table back into the stream.

What a letter publishes belongs to unit/dead_letters, the loading of odd messages to unit/streaming.
"""

import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from polygon_assets.cli import main
from polygon_assets.clients import clickhouse, kafka
from polygon_assets.dead_letters.joined_parts import joined
from polygon_assets.dead_letters.replay import Replayer, ReplayError
from polygon_assets.defs.assets.dead_letters import dead_letters as dead_letters_asset
from polygon_assets.defs.stream.replay_dead_letters import replay_dead_letters
from polygon_assets.events.validation import to_row
from polygon_assets.inspection.streams import positions
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import DeadLetter, RawAggregate, encode, unaccounted
from polygon_assets.serving import dead_letters
from polygon_assets.serving.dead_letters import Letter, Selection
from polygon_assets.settings import Settings
from polygon_assets.streaming.delivery import LARGEST_RAW_BYTES, Delivery
from polygon_assets.topics import (
    DEAD_LETTER_TOPIC,
    FILTER_GROUP,
    FILTERED_TOPIC,
    RAW_TOPIC,
    SINK_GROUP,
)
from polygon_assets_tests.processes.gap_harness import OfStack
from polygon_assets_tests.processes.harness import (
    Programs,
    beat,
    eventually,
    final_rows,
    put_in_force,
    send,
    send_raw,
)
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, Live
from polygon_assets_tests.unit.streaming.samples import raw_aggregate

__all__ = ["EXCHANGE_OPTIONS"]

SERVERS = ("exchange", "kafka", "clickhouse", "s3")
START_MS = (int(time.time()) - 3600) * 1000
"""A whole second; it is recent, because old letters expire."""
REFUSED_US = (START_MS + 60_000) * 1000
MANY = 4_000
SMALL_BATCHES = """
import polygon_assets.streaming.dead_letter_loader as loader
loader.READ_MESSAGES = 20
"""
END_AT_ONCE = """
import polygon_assets.streaming.dead_letter_loader as loader
def fail(*_): raise ZeroDivisionError("out of cheese")
loader.to_line = fail
"""


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with closing(clickhouse.connect(settings)) as one:
        yield one


def selected(client: Client, **fields: Any) -> list[Letter]:
    return dead_letters.letters(client, Selection(**fields), 100_000)


def stored_bytes(client: Client, **fields: Any) -> dict[str, list[bytes]]:
    """By stage, the bytes of the stored letters whose parts are all there, sorted."""
    found = selected(client, **fields)
    parts = dead_letters.parts(client, [letter.letter_id for letter in found])
    by_stage: dict[str, list[bytes]] = {}
    for letter in found:
        of_letter = parts[letter.letter_id]
        if len(of_letter) >= letter.parts:
            by_stage.setdefault(letter.stage, []).append(joined(of_letter))
    return {stage: sorted(raws) for stage, raws in by_stage.items()}


def refuse(settings: Settings, *letters: DeadLetter) -> None:
    """Send letters as the programs do, and wait until the broker has them."""
    delivery = Delivery(settings)
    for letter in letters:
        delivery.send_dead_letter(letter)
    assert delivery.flush(30) == 0


def keep(client: Client, *letters: DeadLetter) -> None:
    """Store letters without the topic and the sink."""
    lines = b"\n".join(map(encode, letters))
    client.raw_insert(dead_letters.INGEST_TABLE, insert_block=lines, fmt="JSONEachRow")


def letter(stage: str, raw: bytes, number: int, reason: str, **changes: Any) -> DeadLetter:
    """A letter as the program of a stage sends it, refused `number` µs after REFUSED_US."""
    program, topic = {
        "validate": ("filter", RAW_TOPIC),
        "insert": ("sink", FILTERED_TOPIC),
    }.get(stage, ("producer", None))
    values: dict[str, Any] = {
        "program": program,
        "stage": stage,
        "reason": reason,
        "raw": raw,
        "refused_at": REFUSED_US + number,
    }
    place = {"topic": topic, "partition": 0, "offset": number} if topic else {"epoch": START_MS}
    return DeadLetter(**(values | place | changes))


def vendor_event(symbol: str, second: int, close: float = 25.41) -> bytes:
    start = START_MS + second * 1000
    return (
        f'{{"ev":"A","sym":"{symbol}","v":200,"o":25.39,"c":{close},"h":25.45,"l":25.3,'
        f'"s":{start},"e":{start + 1000}}}'
    ).encode()


@pytest.mark.long
def test_what_each_program_refuses_is_in_the_table_with_all_its_bytes(
    live: Live, programs: Programs, settings: Settings, client: Client
) -> None:
    since = dt.datetime.now(dt.UTC)
    long = b"x" * (2 * LARGEST_RAW_BYTES + 1)
    live.start("AAPL")
    programs.start("filter")
    sink = programs.start("sink")
    live.exchange.control("garbage", text=long.decode())
    live.exchange.control("garbage", text='[{"ev":"A","sym":"AAPL"}]')
    send(settings, RAW_TOPIC, [("AAPL", b"\xff\x00not raw")])
    send(settings, FILTERED_TOPIC, [("AAPL", b"{not a row")])
    send(settings, DEAD_LETTER_TOPIC, [("a stranger", b"hello \xff\x00")])
    expected = {
        "frame": [long],
        "event": [b'{"ev":"A","sym":"AAPL"}'],
        "validate": [b"\xff\x00not raw"],
        "insert": [b"{not a row"],
        "unknown": [b"hello \xff\x00"],
    }
    sink.until(
        lambda: stored_bytes(client, since=since) == expected, "every letter is in the table"
    )
    [stranger] = selected(client, stage="unknown")
    assert stranger.reason.startswith("not a dead letter: ")
    assert stranger.topic == DEAD_LETTER_TOPIC
    assert sink.stop() == 0
    last = beat(settings, "sink")
    assert last is not None
    assert last.counters["dead_letters"] >= 7, "the frame fills three messages"
    assert unaccounted(last) == 0


@pytest.mark.long
def test_neither_a_killed_sink_nor_an_absent_clickhouse_loses_a_letter(
    stack: Stack, settings: Settings, programs: Programs, client: Client
) -> None:
    def bytes_of(numbers: range) -> list[bytes]:
        return sorted(f"{{bad {number}".encode() for number in numbers)

    def is_stored(count: int) -> bool:
        return len(selected(client, reason="of the crash")) >= count

    def refuse_all(numbers: range) -> None:
        reason = "of the crash"
        refuse(
            settings,
            *(letter("insert", f"{{bad {n}".encode(), n, reason) for n in numbers),
        )

    refuse_all(range(MANY))
    first = programs.start("sink", prelude=SMALL_BATCHES)
    first.until(lambda: is_stored(1), "it loads")
    first.kill()
    assert not is_stored(MANY), "it was killed in the middle"
    second = programs.start("sink")
    second.until(lambda: is_stored(MANY), "the letters that were sent before are stored")
    stack.kill("clickhouse")
    refuse_all(range(MANY, MANY + 100))
    second.wait_for_log("dead letters wait for ClickHouse")
    stack.restart("clickhouse")
    second.until(lambda: is_stored(MANY + 100), "the letters that waited are stored")
    assert stored_bytes(client, reason="of the crash") == {"insert": bytes_of(range(MANY + 100))}
    assert second.is_running()
    assert second.stop() == 0


def test_an_unexpected_error_in_the_loader_ends_the_sink_for_its_supervisor(
    programs: Programs, settings: Settings
) -> None:
    refuse(settings, letter("insert", b"{", 0, "ends the loader"))
    sink = programs.start("sink", prelude=END_AT_ONCE)
    assert sink.exit_code() == 1
    assert "ZeroDivisionError: out of cheese" in sink.log
    last = beat(settings, "sink")
    assert last is not None
    assert "out of cheese" in last.detail


def aggregate(symbol: str, **changes: Any) -> RawAggregate:
    times = {"start_timestamp": START_MS, "end_timestamp": START_MS + 1000}
    return raw_aggregate(symbol=symbol, **(times | {"received_at": REFUSED_US} | changes))


def refused_letters() -> list[DeadLetter]:
    """Letters whose bytes the programs accept today, but for the last two."""
    events = b",".join(vendor_event("FRAME", second) for second in range(3))
    return [
        letter("frame", b"[" + events + b" " * LARGEST_RAW_BYTES + b"]", 1, "fixed"),
        letter("event", vendor_event("EVENT", 0), 2, "fixed"),
        letter("event", vendor_event("NEWER", 0), 3, "fixed"),
        letter("validate", encode(aggregate("VALID")), 4, "fixed"),
        letter("insert", encode(to_row(aggregate("ROW"))), 5, "fixed"),
        letter("validate", encode(aggregate("BAD", low=-1.0)), 6, "fixed"),
        letter("frame", b"[", 7, "fixed", part=1, parts=2, sha256="ab"),
    ]


def rows_of(client: Client) -> dict[str, list[tuple[int, float, int]]]:
    """By symbol, second, close and µs from the refusal to the version, of each stored row."""
    return {
        symbol: [
            ((start - START_MS) // 1000, close, received - REFUSED_US)
            for start, close, _, received in final_rows(client, symbol)
        ]
        for symbol in ("FRAME", "EVENT", "NEWER", "VALID", "ROW", "BAD")
    }


REPLAYED = {
    "FRAME": [(0, 25.41, 1), (1, 25.41, 2), (2, 25.41, 3)],
    "EVENT": [(0, 25.41, 2)],
    "NEWER": [(0, 25.40, 1_000)],
    "VALID": [(0, 25.41, 0)],
    "ROW": [(0, 25.41, 0)],
    "BAD": [],
}


def cli(stack: Stack, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["dead-letters", *arguments], env=stack.environment())


def has_passed(settings: Settings) -> bool:
    """Whether filter and sink have worked off their topics."""
    pairs = ((FILTER_GROUP, RAW_TOPIC), (SINK_GROUP, FILTERED_TOPIC))
    return all(positions(settings, group, topic).lag == 0 for group, topic in pairs)


def run_job(stack: Stack, **config: object) -> bool:
    values = {name.lower(): value for name, value in stack.environment().items()}
    result = replay_dead_letters.execute_in_process(
        resources={"environment": OfStack(values=values)},
        run_config={"ops": {"replay": {"config": config}}},
        raise_on_error=False,
    )
    return result.success


def test_a_replay_makes_rows_once_and_is_recorded(
    stack: Stack, settings: Settings, programs: Programs, client: Client
) -> None:
    put_in_force(settings, *(f"A.{symbol}" for symbol in REPLAYED))
    programs.start("filter")
    sink = programs.start("sink")
    send_raw(settings, [aggregate("NEWER", close_price=25.40, received_at=REFUSED_US + 1_000)])
    refuse(settings, *refused_letters())
    sink.until(lambda: len(selected(client, reason="fixed")) == 7, "the letters are stored")

    first = cli(stack, "replay", "--reason", "FIXED", "--yes")
    assert first.exit_code == 1, first.output
    assert "5 letter(s) published (7 messages), 2 failed" in first.output
    sink.until(lambda: rows_of(client) == REPLAYED, "the replayed events are rows")
    found = {kept.letter_id: kept for kept in selected(client, reason="fixed")}
    attempts = dead_letters.replays(client, list(found))
    assert sorted(
        (found[attempt.letter_id].stage, attempt.outcome, attempt.messages, attempt.topic)
        for attempt in attempts
    ) == [
        ("event", "published", 1, RAW_TOPIC),
        ("event", "published", 1, RAW_TOPIC),
        ("frame", "failed", 0, ""),
        ("frame", "published", 3, RAW_TOPIC),
        ("insert", "published", 1, FILTERED_TOPIC),
        ("validate", "failed", 0, ""),
        ("validate", "published", 1, RAW_TOPIC),
    ]
    assert {attempt.error.split(":")[0] for attempt in attempts if attempt.error} == {
        "prices must be > 0 and low <= open, close <= high",
        "part 2 of 2 is not stored (1 are); it may still be in polygon_dead_letters, "
        "which the sink loads",
    }

    second = cli(stack, "replay", "--reason", "fixed", "--yes")
    assert "0 letter(s) published (0 messages), 2 failed" in second.output, "the rest is done"
    assert not run_job(stack, reason="fixed", again=True), "two letters are still refused"
    good = [kept.letter_id for kept in found.values() if kept.replayed_at]
    assert run_job(stack, letter_ids=good, again=True)
    assert run_job(stack, letter_ids=good), "nothing is left to replay"
    eventually(lambda: has_passed(settings), "the replays have passed")
    assert rows_of(client) == REPLAYED
    by = {attempt.replayed_by.split(" ")[0] for attempt in dead_letters.replays(client, good)}
    assert by == {attempt.replayed_by for attempt in attempts} | {"dagster"}
    assert sink.stop() == 0


def test_without_a_broker_a_replay_is_recorded_as_failed_and_succeeds_later(
    stack: Stack, settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "ACKNOWLEDGE_SECONDS", 1.0)
    keep(client, letter("event", vendor_event("AWAY", 0), 300, "no broker"))
    selection = Selection(reason="no broker")
    stack.kill("kafka")
    with closing(Replayer(settings, "a test")) as replayer:
        found = replayer.select(selection, 10)
        with pytest.raises(ReplayError, match="Kafka did not acknowledge 1 messages"):
            list(replayer.replay(found))
    stack.restart("kafka")
    [failed] = dead_letters.replays(client, [found[0].letter_id])
    assert (failed.outcome, failed.messages) == ("failed", 0)
    assert failed.error == "Kafka did not acknowledge 1 message(s)"
    with closing(Replayer(settings, "a test")) as replayer:
        [published] = replayer.replay(replayer.select(selection, 10))
        assert published.outcome == "published"
        assert replayer.select(selection, 10) == []
        assert replayer.select(selection, 10, again=True) != []


def test_people_list_and_show_letters_and_confirm_a_replay(stack: Stack, client: Client) -> None:
    kept = (
        letter("validate", b'{"sym":"\xc4"}\xff', 100, "odd [value] 'a' 1"),
        letter("validate", b"{", 101, "odd [value] 'b' 22"),
    )
    keep(client, *kept)
    shown = json.loads(cli(stack, "list", "--reason", "Odd [", "--json", "--limit", "1").stdout)
    assert [(count["kind"], count["letters"]) for count in shown["counts"]] == [
        ("odd [value] … N", 2)
    ]
    [newest] = shown["letters"]
    assert (newest["reason"], newest["offset"]) == ("odd [value] 'b' 22", 101)
    table = cli(stack, "list", "--reason", "odd [", "--not-replayed", "--since", "2026-01-01")
    assert table.exit_code == 0, table.output
    assert newest["letter_id"] in table.stdout
    assert "no dead letter" in cli(stack, "list", "--reason", "odd [", "--replayed").stdout

    [odd] = selected(client, reason="'a'")
    page = cli(stack, "show", odd.letter_id).stdout
    assert page.endswith('\n{"sym":"\\xc4"}\\xff\n')
    assert f"sha256: {odd.sha256}" in page
    assert json.loads(cli(stack, "show", newest["letter_id"], "--json").stdout)["text"] == "{"
    unknown = cli(stack, "show", "nonsense")
    assert unknown.exit_code == 1
    assert "no letter has the id 'nonsense'" in unknown.output

    assert cli(stack, "replay", "--yes").exit_code == 2, "nothing is selected"
    refused = CliRunner().invoke(
        main, ["dead-letters", "replay", odd.letter_id], env=stack.environment(), input="n\n"
    )
    assert "Replay 1 letter(s)?" in refused.output
    assert dead_letters.replays(client, [odd.letter_id]) == []


def test_the_asset_shows_the_last_day_by_reason(stack: Stack, client: Client) -> None:
    newest_us = time.time_ns() // 1000
    keep(client, letter("insert", b"{", 200, "<b>|of the page|</b> 7", refused_at=newest_us))
    values = {name.lower(): value for name, value in stack.environment().items()}
    result = dg.materialize([dead_letters_asset], resources={"environment": OfStack(values=values)})
    [materialization] = result.asset_materializations_for_node("clickhouse__dead_letters")
    metadata: dict[str, Any] = {
        name: entry.value for name, entry in materialization.metadata.items()
    }
    assert metadata["letters_24h"] >= 1
    assert metadata["replayed_24h"] <= metadata["letters_24h"]
    assert metadata["losses_24h"] == 0
    for table, text in (("reasons_24h", "N"), ("newest_letters", "7")):
        cell = f"| &lt;b&gt;\\|of the page\\|&lt;/b&gt; {text} |"
        assert cell in metadata[table]
