"""The promises of `fuzz.targets`, on a few thousand mutated inputs, and on inputs that broke them.

Add an input that broke a promise here; `make fuzz` runs the same targets for longer.
"""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fuzz import engine, seeds
from fuzz.__main__ import TARGET_NAMES
from fuzz.targets import TARGETS, BrokenPromiseError, Record
from polygon_assets.inspection import streams

RUNS = dict.fromkeys(TARGETS, 1_500) | {"filtered": 300, "settings": 150, "frames": 1_000}
RAW, [BEAT, *_] = seeds.MESSAGES["raw"][0], seeds.MESSAGES["heartbeats"]
FILTERED, [GAP] = seeds.MESSAGES["filtered"][0], seeds.MESSAGES["gaps"]

OPEN = FILTERED + b"," + FILTERED + b"," + FILTERED[:-1] + b',"x":[1'
"""Two rows, and a third one that waits for the end of its list."""


def test_the_command_names_every_target() -> None:
    assert list(TARGETS) == list(TARGET_NAMES)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_valid_input_break_no_promise(name: str) -> None:
    outcome = engine.by_mutation(name, 1, 60, RUNS[name])
    assert outcome.failures == []
    assert outcome.executions == RUNS[name]


@pytest.mark.parametrize("name", TARGETS)
def test_valid_input_and_noise_break_no_promise(name: str) -> None:
    for sample in TARGETS[name].seeds:
        TARGETS[name].promise(sample)

    @hypothesis_settings(max_examples=30, deadline=None)
    @given(st.binary(max_size=200))
    def noise(data: bytes) -> None:
        TARGETS[name].promise(data)

    noise()


def test_a_broken_promise_is_a_failure_with_its_input() -> None:
    def promise(data: bytes) -> None:
        raise BrokenPromiseError(f"{len(data)} bytes")

    failure = engine.attempt(promise, b"abc")
    assert failure is not None
    assert failure.data == b"abc"
    assert "BrokenPromiseError" in failure.error
    assert engine.attempt(len, b"abc") is None


BROKE = {
    # The filter died of an overflow while it wrote the reason.
    "a huge start": (
        "raw",
        RAW.replace(b"1795000000000", b"1" + b"0" * 400).replace(
            b"1795000001000", b"1" + b"0" * 396 + b"1000"
        ),
    ),
    "a huge window": (
        "raw",
        RAW.replace(b"1795000000000", b"-" + b"9" * 4300).replace(b"1795000001000", b"9" * 4300),
    ),
    "an arrival in the year 30,000,000": (
        "raw",
        RAW.replace(b"1795000003000000", b"9" * 21)
        .replace(b"1795000000000", b"9" * 15 + b"000")
        .replace(b"1795000001000", b"1" + b"0" * 14 + b"0000"),
    ),
    # The filter forwarded what the sink then refused.
    "a size that no float holds": ("raw", RAW.replace(b'_size":50', b'_size":1' + b"0" * 309)),
    "digits of another script": ("raw", RAW.replace(b'"200.5"', '"20\u0663.5"'.encode())),
    # Two messages took the message between them into a list of their own.
    "a row inside another message": ("filtered", OPEN + b"2]}".rjust(len(OPEN))),
    # Supervisor, status and day closer died, or the history could not store the number.
    "a heartbeat of a far future": ("heartbeats", BEAT.replace(b'"sent_at":', b'"sent_at":99999')),
    "a negative number of channels": ("heartbeats", BEAT.replace(b'"desired":3', b'"desired":-3')),
    "a counter beyond its column": (
        "heartbeats",
        BEAT.replace(b'"read":9', b'"read":' + b"9" * 20),
    ),
    "a number of dropped events beyond its column": (
        "gaps",
        GAP.replace(b'"events_dropped":7', b'"events_dropped":' + b"9" * 20),
    ),
    "a gap that ends before it begins": ("gaps", GAP.replace(b"1795000005000", b"1795")),
    "an arrival that is no moment": ("received", RAW.replace(b"1795000003000000", b"9" * 18)),
    "no value and a wild timestamp": ("received", b"\x7f" + b"\xff" * 7),
    # A reply of REST raised an error that nobody expected.
    "a nested reply": ("answers", b"[" * 100_000),
    "no address of the next page": (
        "answers",
        seeds.ANSWERS[0].replace(b"https://host/v3/x", b"http://["),
    ),
    "a price that no float holds": (
        "answers",
        seeds.ANSWERS[0].replace(b"10.5", b"1" + b"0" * 400),
    ),
    "a bar that is no number": ("daily bars", seeds.ANSWERS[0].replace(b"10.5", b"1" + b"0" * 400)),
    "half of a surrogate pair": ("daily bars", seeds.ANSWERS[0].replace(b"AAPL", rb"\ud800")),
}


def test_a_message_without_value_is_neither_heartbeat_nor_row() -> None:
    record = cast(Any, Record(None))
    assert streams.as_heartbeat(record) is None
    assert streams.as_filtered(record) is None
    assert streams.received_at(record).year == 1970


@pytest.mark.parametrize("name", BROKE)
def test_what_broke_a_promise_does_so_no_more(name: str) -> None:
    target, data = BROKE[name]
    assert data not in TARGETS[target].seeds
    TARGETS[target].promise(data)
