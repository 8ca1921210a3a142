"""The loader of dead letters: any message is stored, and its errors reach the sink.

The loader in the sink's process belongs to processes/test_dead_letters.py.
"""

import base64
import datetime as dt
import time
from typing import Any, cast

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Message
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from polygon_assets.inspection.health import heartbeat_problems
from polygon_assets.inspection.tables import dead_letter_losses
from polygon_assets.messages import DeadLetter, Heartbeat, encode
from polygon_assets.serving import heartbeat_history
from polygon_assets.serving.dead_letters import INGEST_TABLE, Selection, letters, parts
from polygon_assets.settings import Settings
from polygon_assets.streaming import dead_letter_loader
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.dead_letter_loader import DeadLetterLoader, fits, to_line
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.unit.serving.conftest import client, session_client, settings

__all__ = ["client", "session_client", "settings"]

NOW_US = 1_795_000_000_000_000


class FakeMessage:
    """The part of librdkafka's message that the loader uses."""

    def __init__(self, value: bytes | None, offset: int = 7) -> None:
        self._value, self._offset = value, offset

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return self._offset


def line(value: bytes | None, offset: int = 7) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.json.decode(to_line(message(value, offset), NOW_US))
    return row


def message(value: bytes | None, offset: int = 7) -> Message:
    return cast(Message, FakeMessage(value, offset))


NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-1, 3)
LETTERS = st.builds(
    DeadLetter,
    program=st.sampled_from(["producer", "filter", "sink"]),
    stage=st.sampled_from(["frame", "event", "validate", "insert"]),
    reason=st.text(max_size=30),
    raw=st.binary(max_size=40),
    refused_at=st.just(NOW_US) | NUMBERS,
    topic=st.none() | st.text(max_size=10),
    partition=st.none() | NUMBERS,
    offset=st.none() | NUMBERS,
    epoch=st.none() | NUMBERS,
    part=NUMBERS,
    parts=NUMBERS,
    sha256=st.just("") | st.text(max_size=10),
)


@hypothesis_settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(LETTERS.map(encode) | st.binary(max_size=40), min_size=1, max_size=20))
def test_the_table_takes_any_message_of_the_topic_with_its_bytes(
    client: Client, values: list[bytes]
) -> None:
    """One message that the table refused would block all others behind it."""
    client.command("TRUNCATE TABLE market.dead_letters")
    lines = [to_line(message(value, offset), NOW_US) for offset, value in enumerate(values)]
    client.raw_insert(INGEST_TABLE, insert_block=b"\n".join(lines), fmt="JSONEachRow")
    ids = [letter.letter_id for letter in letters(client, Selection(), 1_000)]
    stored = {part.raw for of_letter in parts(client, ids).values() for part in of_letter}
    expected = {base64.b64decode(msgspec.json.decode(one)["raw"]) for one in lines}
    # Letters of 1970 are older than the table keeps them, and a merge may have removed them.
    old = {
        base64.b64decode(row["raw"])
        for row in map(msgspec.json.decode, lines)
        if row["refused_at"] < NOW_US // 2
    }
    assert expected - old <= stored <= expected


@pytest.mark.parametrize(
    "value",
    [None, b"", b"hello", b"\xff\xfe", b'{"program":"archiver"}', b'{"program":"sink","raw":"%"}'],
)
def test_a_strangers_message_is_kept_as_a_letter_whose_reason_says_so(value: bytes | None) -> None:
    row = line(value)
    assert row["reason"].startswith("not a dead letter: ")
    assert base64.b64decode(row["raw"]) == (value or b"")
    assert (row["program"], row["stage"], row["refused_at"]) == ("unknown", "unknown", NOW_US)
    assert (row["topic"], row["partition"], row["offset"]) == ("polygon_dead_letters", 3, 7)


def test_a_letter_with_a_key_twice_becomes_a_row_with_each_key_once() -> None:
    value = encode(DeadLetter("sink", "insert", "why", b"{", NOW_US, "t", 1, 2))
    assert to_line(message(value[:-1] + b',"offset":2}'), NOW_US) == value


def test_numbers_beyond_the_tables_types_do_not_fit() -> None:
    letter = DeadLetter("sink", "insert", "why", b"{", NOW_US, "t", 1, 2)
    assert fits(letter)
    for changes in (
        {"refused_at": -1},
        {"refused_at": 10**18},
        {"offset": 2**63},
        {"partition": 2**31},
        {"epoch": -1},
        {"epoch": 10**15},
        {"part": 3, "parts": 2},
        {"parts": 10**6},
    ):
        changed = msgspec.structs.replace(letter, **changes)
        assert not fits(changed), changes
        assert line(encode(changed))["program"] == "unknown"


def test_an_unexpected_error_of_the_thread_is_raised_in_its_owners_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("out of cheese")

    monkeypatch.setattr(dead_letter_loader, "TopicConsumer", fail)

    def has_raised() -> bool:
        try:
            loader.raise_error()
        except ZeroDivisionError:
            return True
        return False

    with DeadLetterLoader(Settings()) as loader:
        eventually(has_raised, "the error is raised")
    assert loader.counters() == {}


class LossyConsumer:
    """A consumer without messages whose broker has lost some once."""

    problem = ""
    assigned = frozenset[int]()

    def __init__(self) -> None:
        self.losses = [False, True, False]

    def read(self, _most: int, _seconds: float) -> list[Message]:
        return []

    def take_loss(self) -> bool:
        return self.losses.pop(0)


def test_letters_that_the_broker_lost_are_counted_where_people_look(
    client: Client, settings: Settings
) -> None:
    loader, consumer = DeadLetterLoader(Settings()), LossyConsumer()
    for _ in range(3):
        loader._turn(cast(TopicConsumer, consumer))
    assert loader.counters() == {"dead_letter_losses": 1}
    now = time.time_ns() // 1_000_000
    beats = [
        Heartbeat("sink", f"host:{n}:1", "streaming", now, now + n + at, counters=counters)
        for n in range(2)
        for at, counters in enumerate(({}, loader.counters()))
    ]
    assert "the broker lost dead letters 1 time(s)" in heartbeat_problems(beats[-1], settings)[0]
    assert heartbeat_problems(beats[0], settings) == []
    heartbeat_history.store(client, beats)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    assert dead_letter_losses(settings, since) == 2
    assert dead_letter_losses(settings, since + dt.timedelta(hours=2)) == 0
