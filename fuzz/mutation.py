"""Mutated inputs: changes of bytes, and of whole JSON values, by a seeded generator.

Add a kind of change here; the inputs that are changed belong to `seeds`.
"""

import re
from collections.abc import Callable, Sequence
from random import Random

LONGEST = 4_096
_VALUE = re.compile(rb'(?<=:)\s*(?:"(?:[^"\\]|\\.)*"|[^,\[\]{}]+|\[[^\[\]]*\]|\{[^{}]*\})')
_TOKENS: tuple[bytes, ...] = (
    b"null", b"true", b"false", b"0", b"-0", b"-1", b"1", b"0.5", b"1e3", b"1e18", b"1e300",
    b"1e-400", b"1e400", b"NaN", b"Infinity", b"-Infinity", b"[]", b"{}", b'""', b"[" * 1_100,
    b'{"a":' * 60, b"1" + b"0" * 18, b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551616", b"-9223372036854775809", b"1" + b"0" * 30, b"1" + b"0" * 309,
    b"9" * 4300, b"9" * 4301, b"4102444800000", b"4102444800001", b"253402300800000",
    b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\xed\xa0\x80"', b'"x\ny"',
    b'"1e5"', b'"nan"', b'"2026-13-45"', b'"rest"', b'"standby"', b'"sink"', b'"nosuch"',
    b"http://[", b"https://h:x/", b"//", b"\x00", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"\\", b",",
    b";", b"{", b"}", b"[", b"]", b":", b" ", b"A.*", b"A.AAPL", b"inf", b"nan", b"13:00+05:00",
    "\u0663".encode(), "\u2028".encode(), "\U0001f600".encode(),
)  # fmt: skip


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after a few changes; rarely nothing but noise."""
    if random.random() < 0.01:
        return random.randbytes(random.randrange(64))
    data = random.choice(seeds)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        data = random.choice(_CHANGES)(random, data)
    return data[:LONGEST]


def _replace_value(random: Random, data: bytes) -> bytes:
    values = list(_VALUE.finditer(data))
    if not values:
        return _insert(random, data)
    value = random.choice(values)
    new = random.choice(values)[0] if random.random() < 0.2 else random.choice(_TOKENS)
    return data[: value.start()] + new + data[value.end() :]


def _insert(random: Random, data: bytes) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(_TOKENS) + data[at:]


def _delete(random: Random, data: bytes) -> bytes:
    start = random.randint(0, len(data))
    return data[:start] + data[start + random.choice((1, 1, 2, 8, 64)) :]


def _repeat(random: Random, data: bytes) -> bytes:
    start = random.randint(0, len(data))
    piece = data[start : start + random.choice((1, 8, 64, 300))]
    return data[:start] + piece * random.choice((2, 2, 3, 10)) + data[start + len(piece) :]


def _change_byte(random: Random, data: bytes) -> bytes:
    if not data:
        return b"\0"
    at = random.randrange(len(data))
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randint(0, len(data))]


_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    *[_replace_value] * 4, _insert, _insert, _delete, _repeat, _change_byte, _change_byte, _cut,
)  # fmt: skip
