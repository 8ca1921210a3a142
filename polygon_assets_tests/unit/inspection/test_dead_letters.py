"""Dead letters as people read them: cells, bytes as text, and the times that a person types."""

import datetime as dt
import json
from dataclasses import replace

import pytest

from polygon_assets.inspection.dead_letters import (
    SHOWN_REASON,
    as_text,
    bytes_facts,
    count_cells,
    facts,
    field_lines,
    letter_cells,
    moment,
    replay_lines,
)
from polygon_assets.serving.dead_letters import Letter, ReasonCount, Replay

NOW = dt.datetime(2026, 11, 20, 15, 30, tzinfo=dt.UTC)
LETTER = Letter(
    "id1", "filter", "validate", "low\n-1", NOW, "raw", 3, 7, None, 0, "ab", 1234, replayed_at=None
)


def test_a_letter_is_listed_in_new_york_time_on_one_line() -> None:
    listed = ("id1", "2026-11-20 10:30:00", "filter", "validate", "1,234", "-", "low -1")
    assert letter_cells(LETTER) == listed
    replayed = replace(LETTER, replayed_at=NOW, reason="x" * 500)
    assert letter_cells(replayed)[-2:] == ("2026-11-20 10:30:00", "x" * SHOWN_REASON + "…")


def test_a_count_is_listed_with_its_newest_letter() -> None:
    count = ReasonCount("sink", "insert", "not a row", 1200, 7, NOW, "id", "not a row: {}")
    cells = ("1,200", "7", "2026-11-20 10:30:00", "sink", "insert", "not a row")
    assert count_cells(count) == cells


def test_facts_are_plain_json_with_times_in_utc() -> None:
    shown = json.loads(json.dumps(facts(LETTER)))
    assert (shown["refused_at"], shown["epoch"]) == ("2026-11-20T15:30:00+00:00", None)
    assert "offset: 7" in field_lines(LETTER)
    assert "epoch: -" in field_lines(LETTER)


def test_each_replay_is_a_line_with_its_outcome() -> None:
    lines = replay_lines(
        [
            Replay("id1", NOW, "me", "", 0, "failed", "low -1"),
            Replay("id1", NOW, "dagster run 7", "raw", 2, "published"),
        ]
    )
    assert lines == [
        "failed 2026-11-20 10:30:00 by me: 0 message(s); low -1",
        "published 2026-11-20 10:30:00 by dagster run 7: 2 message(s) to raw",
    ]


def test_bytes_are_shown_as_text_where_they_are_text() -> None:
    assert as_text('{"sym":"Ä"}\xff'.encode("latin-1")) == '{"sym":"\\xc4"}\\xff'
    assert bytes_facts("Ä".encode()) == {"raw": "w4Q=", "text": "Ä"}
    assert bytes_facts(b"\xff") == {"raw": "/w=="}


def test_refused_bytes_do_not_command_the_terminal() -> None:
    assert as_text(b"\x1b[2Jwiped\r\n\tkept") == "\\x1b[2Jwiped\\r\n\tkept"
    odd = replace(LETTER, reason="\x1b[2J")
    assert letter_cells(odd)[-1] == "\\x1b[2J"
    assert "reason: \\x1b[2J" in field_lines(odd)


def test_a_time_without_a_zone_is_new_yorks() -> None:
    assert moment("2026-11-20T10:30") == NOW
    assert moment("2026-11-20T15:30Z") == NOW
    assert moment("2026-11-20") == NOW.replace(hour=5, minute=0)
    with pytest.raises(ValueError, match="'noon' is no time such as 2026-11-20"):
        moment("noon")
