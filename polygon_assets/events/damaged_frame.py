"""Cuts a frame that is not JSON into its events, so that a syntax error costs its own event only.

Only the cutting belongs here; what a part means belongs to `vendor_channels`. Intact frames never
come here, so a cut may take a hundred times as long as decoding.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

MOST_FAILURES = 1_000
"""Damaged places of one frame after which reading goes on. More are nonsense, not syntax errors,
and each costs up to a millisecond in which nothing else is read."""

MOST_SECONDS = 1.0
"""Time after which reading stops likewise: an object that is never closed is read to the frame's
end, once for each brace in it."""
MOST_PARTS = 200_000
"""Parts of one frame; each costs up to 20 µs, in which nothing else is read. An event has more than
a hundred bytes, so that the largest frame has fewer."""

_BLANKS = " \t\r\n,"
_EVENT_KEYS = (re.compile(r'"ev"\s*:'), re.compile(r'"sym"\s*:'))
_read_object = json.JSONDecoder(strict=False).raw_decode


@dataclass(frozen=True)
class Part:
    """The bytes of one event; with a `damage` where they cannot be read."""

    raw: bytes
    damage: str = ""
    may_hold_many: bool = False
    """Whether the damaged bytes may hold another number of events than one."""


def split(message: bytes, error: str) -> list[Part]:
    """The parts of a frame that the decoder refused with `error`, in their order.

    A readable part begins where an object can be read and ends with it. What lies between two of
    them, or after the last, is damaged: one event if it has an event's keys once, otherwise any
    number of them. Only blanks and commas between parts are left out.
    """
    text, encoding = _decoded(message)
    is_array = text.lstrip("\ufeff" + _BLANKS).startswith("[")
    is_cut_off = is_array and not text.rstrip(_BLANKS).endswith("]")
    damage = f"the frame is cut off: {error}" if is_cut_off else f"not JSON: {error}"
    pieces = list(islice(_pieces(text, text.index("[") + 1 if is_array else 0), MOST_PARTS + 1))
    if len(pieces) > MOST_PARTS:
        return too_many(message)
    if not any(readable for readable, _ in pieces):
        return [Part(message, damage, is_cut_off or not message or _may_hold_many(text))]
    parts = [
        Part(piece.encode(encoding))
        if readable
        else Part(piece.encode(encoding), damage, _may_hold_many(piece))
        for readable, piece in pieces
    ]
    if is_cut_off:
        # What followed is unknown. The whole message shows how far it came.
        parts.append(Part(message, damage, may_hold_many=True))
    return parts


def too_many(message: bytes) -> list[Part]:
    """The one part of a frame that has more than MOST_PARTS."""
    return [Part(message, f"more than {MOST_PARTS:,} parts: no frame of the vendor", True)]


def _decoded(message: bytes) -> tuple[str, str]:
    """The text and its encoding.

    Latin-1 has one character for each byte, so that cuts in the text are cuts in the bytes.
    """
    try:
        return message.decode(), "utf-8"
    except UnicodeDecodeError:
        return message.decode("latin-1"), "latin-1"


def _pieces(text: str, position: int) -> Iterator[tuple[bool, str]]:
    """Each piece of the text with whether it is a readable object."""
    for start, end in _objects(text, position):
        if damaged := text[position:start].strip(_BLANKS):
            yield False, damaged
        yield True, text[start:end]
        position = end
    if damaged := text[position:].strip(_BLANKS).removesuffix("]").rstrip(_BLANKS):
        yield False, damaged


def _objects(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Start and end of each object that can be read, from left to right."""
    failures, deadline = 0, time.monotonic() + MOST_SECONDS
    while failures < MOST_FAILURES and (start := text.find("{", position)) >= 0:
        try:
            _, position = _read_object(text, start)
        except (ValueError, RecursionError):
            failures += 1
            position = start + 1
            if time.monotonic() > deadline:
                return
        else:
            yield start, position


def _may_hold_many(text: str) -> bool:
    """False for one event, of which a syntax error leaves a key intact, and for punctuation."""
    return (
        re.search(r"\w", text) is not None
        and max(len(key.findall(text)) for key in _EVENT_KEYS) != 1
    )
