"""Parts of letters: joined in any order, refused when one is missing or damaged."""

import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.dead_letters.joined_parts import IncompleteLetterError, joined
from polygon_assets.serving.dead_letters import Part


def divided(raw: bytes, length: int) -> list[Part]:
    """The parts of `raw`, each at most `length` bytes, as `streaming.delivery` numbers them."""
    digest = hashlib.sha256(raw).hexdigest()
    if len(raw) <= length:
        return [Part("id", 0, 0, digest, raw)]
    pieces = [raw[start : start + length] for start in range(0, len(raw), length)]
    return [
        Part("id", number, len(pieces), digest, piece) for number, piece in enumerate(pieces, 1)
    ]


@given(st.binary(max_size=200), st.integers(1, 60), st.randoms())
def test_any_bytes_in_any_order_of_parts_are_whole_again(
    raw: bytes, length: int, order: random.Random
) -> None:
    parts = divided(raw, length)
    order.shuffle(parts)
    assert joined(parts) == raw


@given(st.binary(min_size=2, max_size=200), st.integers(1, 60), st.data())
def test_any_missing_part_is_named(raw: bytes, length: int, data: st.DataObject) -> None:
    parts = divided(raw, min(length, len(raw) - 1))
    lost = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
    with pytest.raises(IncompleteLetterError, match=rf"part {lost.part} of {lost.parts} is not"):
        joined(parts)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 60), st.data())
def test_any_damaged_byte_is_noticed(raw: bytes, length: int, data: st.DataObject) -> None:
    parts = divided(raw, length)
    place = data.draw(st.integers(0, len(parts) - 1))
    bad = bytes([parts[place].raw[0] ^ 1]) + parts[place].raw[1:]
    parts[place] = replace(parts[place], raw=bad)
    with pytest.raises(IncompleteLetterError, match="the stored bytes have the sha256"):
        joined(parts)


def test_a_letter_without_bytes_in_the_table_is_incomplete() -> None:
    with pytest.raises(IncompleteLetterError, match="no bytes are stored"):
        joined([])
    impossible = Part("id", 2, 2_000_000_000, "", b"")
    with pytest.raises(IncompleteLetterError, match="part 1 of 2000000000 is not stored"):
        joined([impossible])
