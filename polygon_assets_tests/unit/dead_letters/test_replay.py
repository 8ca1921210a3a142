"""The steps of a replay that need no server: pieces of limited size, and the outcome in words."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.dead_letters.replay import CHUNK_BYTES, CHUNK_LETTERS, chunks, summary
from polygon_assets.serving.dead_letters import Letter, Replay

NOW = dt.datetime(2026, 11, 20, 15, 30, tzinfo=dt.UTC)


def letter(number: int, size: int) -> Letter:
    return Letter(
        str(number), "sink", "insert", "why", NOW, "t", 0, number, None, 0, "", size, None
    )


@given(st.lists(st.integers(0, 2 * CHUNK_BYTES), max_size=30))
def test_pieces_hold_every_letter_in_order_and_only_one_letter_may_be_too_long(
    sizes: list[int],
) -> None:
    letters = [letter(number, size) for number, size in enumerate(sizes)]
    pieces = list(chunks(letters))
    assert [one for piece in pieces for one in piece] == letters
    assert all(
        len(piece) == 1 or sum(one.bytes for one in piece) <= CHUNK_BYTES for piece in pieces
    )


def test_small_letters_are_limited_by_their_number() -> None:
    letters = [letter(number, 1) for number in range(CHUNK_LETTERS + 1)]
    assert [len(piece) for piece in chunks(letters)] == [CHUNK_LETTERS, 1]


def test_the_summary_counts_letters_and_messages() -> None:
    outcomes = [
        Replay("a", NOW, "me", "t", 3, "published"),
        Replay("b", NOW, "me", "t", 1, "failed", "the rest is still refused"),
    ]
    assert summary(outcomes) == "1 letter(s) published (4 messages), 1 failed"
