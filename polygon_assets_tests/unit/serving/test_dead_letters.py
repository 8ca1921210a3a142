"""The tables of dead letters: loaded twice, selected, counted, and with their replays."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.messages import DeadLetter, encode
from polygon_assets.serving.dead_letters import (
    INGEST_TABLE,
    Letter,
    Replay,
    Selection,
    counts,
    letters,
    parts,
    replays,
    store_replays,
)

NOW = dt.datetime.now(dt.UTC).replace(microsecond=123456)
NOW_US = round(NOW.timestamp() * 1_000_000)


def dead_letter(**changes: Any) -> DeadLetter:
    letter = DeadLetter("filter", "validate", "price -1.5", b"\xff\x00{", NOW_US, "raw", 3, 7)
    return msgspec.structs.replace(letter, **changes)


def of_producer(**changes: Any) -> DeadLetter:
    place = {"topic": None, "partition": None, "offset": None, "epoch": NOW_US // 1000}
    return dead_letter(**({"program": "producer", "stage": "event"} | place | changes))


def load(client: Client, *loaded: DeadLetter) -> None:
    """Load letters as the topic has them, which the Kafka Connect sink does too."""
    lines = b"\n".join(map(encode, loaded))
    client.raw_insert(INGEST_TABLE, insert_block=lines, fmt="JSONEachRow")


def selected(client: Client, **fields: Any) -> list[Letter]:
    return letters(client, Selection(**fields), 100)


def reasons(client: Client, **fields: Any) -> set[str]:
    return {letter.reason for letter in selected(client, **fields)}


def test_a_letter_is_stored_once_with_all_fields_however_often_it_is_loaded(
    client: Client,
) -> None:
    for _ in range(3):
        load(client, dead_letter(), of_producer())
    stored = {letter.program: letter for letter in selected(client)}
    assert len(selected(client)) == 2
    letter = stored["filter"]
    assert (letter.stage, letter.reason, letter.refused_at) == ("validate", "price -1.5", NOW)
    assert (letter.topic, letter.partition, letter.offset, letter.epoch) == ("raw", 3, 7, None)
    assert (letter.bytes, letter.parts, letter.replayed_at) == (3, 0, None)
    [part] = parts(client, [letter.letter_id])[letter.letter_id]
    assert (part.raw, part.part, part.sha256) == (b"\xff\x00{", 0, letter.sha256)
    producers = stored["producer"]
    assert (producers.topic, producers.offset) == ("", None)
    assert producers.epoch == NOW.replace(microsecond=123000)


def test_a_message_that_is_refused_again_after_a_crash_is_the_same_letter(client: Client) -> None:
    load(client, dead_letter(), dead_letter(refused_at=NOW_US + 5, reason="newer code"))
    [letter] = selected(client)
    assert letter.reason == "newer code"


def test_another_place_or_content_is_another_letter(client: Client) -> None:
    different = [
        dead_letter(),
        dead_letter(offset=8),
        dead_letter(partition=4),
        dead_letter(topic="other"),
        dead_letter(raw=b"{"),
        dead_letter(program="sink", stage="insert"),
        of_producer(),
        of_producer(stage="frame"),
        of_producer(refused_at=NOW_US + 1),
        of_producer(epoch=1),
    ]
    load(client, *different)
    assert len({letter.letter_id for letter in selected(client)}) == len(different)


def test_the_parts_of_a_letter_have_its_id_and_come_in_order(client: Client) -> None:
    divided = [
        of_producer(raw=bytes([number]), part=number, parts=12, sha256="ab")
        for number in range(12, 0, -1)
    ]
    for part in divided:
        load(client, part)
    [letter] = selected(client)
    assert (letter.parts, letter.bytes, letter.sha256) == (12, 12, "ab")
    stored = parts(client, [letter.letter_id])[letter.letter_id]
    assert [part.raw for part in stored] == [bytes([number]) for number in range(1, 13)]
    [count] = counts(client, Selection(), 10)
    assert count.letters == 1


def test_each_filter_selects_and_all_of_them_must_match(client: Client) -> None:
    hour = dt.timedelta(hours=1)
    load(
        client,
        dead_letter(reason="Old Price", refused_at=NOW_US - 3_600_000_000, offset=1),
        of_producer(reason="new PRICE"),
        of_producer(reason="", raw=b"no reason"),
    )
    assert reasons(client) == {"Old Price", "new PRICE", ""}
    assert reasons(client, reason="price") == {"Old Price", "new PRICE"}
    assert reasons(client, program="filter") == {"Old Price"}
    assert reasons(client, stage="event", reason="PRICE") == {"new PRICE"}
    assert reasons(client, since=NOW) == {"new PRICE", ""}
    assert reasons(client, until=NOW, since=NOW - hour) == {"Old Price"}
    assert reasons(client, program="sink") == set()
    [old] = selected(client, program="filter")
    assert selected(client, ids=(old.letter_id, "nonsense")) == [old]
    beginning = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    assert len(selected(client, since=beginning, until=dt.datetime.max.replace(tzinfo=dt.UTC))) == 3


def test_newest_or_oldest_first_up_to_the_limit(client: Client) -> None:
    load(client, *(dead_letter(offset=number, refused_at=NOW_US + number) for number in range(5)))
    newest = letters(client, Selection(), 3)
    assert [letter.offset for letter in newest] == [4, 3, 2]
    oldest = letters(client, Selection(), 2, oldest_first=True)
    assert [letter.offset for letter in oldest] == [0, 1]


def test_reasons_are_counted_without_the_values_that_they_quote(client: Client) -> None:
    load(
        client,
        dead_letter(offset=1, reason="volume '12x' of -1.5 at byte 7"),
        dead_letter(offset=2, reason="volume '9' of 2,000 at byte 12", refused_at=NOW_US + 1),
        dead_letter(offset=3, reason='symbol "A1" is none'),
    )
    found = [(count.kind, count.letters) for count in counts(client, Selection(), 10)]
    assert found == [("volume … of N at byte N", 2), ("symbol … is none", 1)]
    [volume] = counts(client, Selection(), 1)
    [newest] = selected(client, ids=(volume.sample_id,))
    assert (volume.letters, volume.sample) == (2, "volume '9' of 2,000 at byte 12")
    assert (newest.reason, newest.offset) == (volume.sample, 2)
    assert counts(client, Selection(stage="frame"), 10) == []


def test_a_published_replay_marks_its_letter_and_a_failed_one_does_not(client: Client) -> None:
    load(client, *(dead_letter(offset=number, refused_at=NOW_US + number) for number in range(3)))
    first, second, third = (letter.letter_id for letter in selected(client))
    failed = Replay(first, NOW, "me", "", 0, "failed", "still refused")
    published = Replay(second, NOW, "me", "raw", 1, "published")
    store_replays(client, [failed, published])
    store_replays(client, [failed])
    assert {letter.letter_id for letter in selected(client, is_replayed=False)} == {first, third}
    [replayed] = selected(client, is_replayed=True)
    assert (replayed.letter_id, replayed.replayed_at) == (second, NOW)
    [count] = counts(client, Selection(), 10)
    assert (count.letters, count.replayed) == (3, 1)
    assert [counts(client, Selection(is_replayed=x), 9)[0].letters for x in (True, False)] == [1, 2]
    assert replays(client, [first, second]) == sorted(
        [failed, published], key=lambda replay: replay.letter_id
    )


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), False),
        (Selection(is_replayed=False), False),
        (Selection(ids=("a",)), True),
        (Selection(reason="x"), True),
        (Selection(program="sink"), True),
        (Selection(stage="frame"), True),
        (Selection(since=NOW), True),
        (Selection(until=NOW), True),
    ],
)
def test_an_empty_selection_names_no_letters(selection: Selection, names: bool) -> None:
    assert selection.is_narrowed is names
