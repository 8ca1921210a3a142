"""What a replay publishes: the bytes read and judged by the programs' own code, versions kept."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.dead_letters.publications import publications
from polygon_assets.events.validation import to_row
from polygon_assets.messages import RawAggregate, decode_raw, encode
from polygon_assets.topics import FILTERED_TOPIC, RAW_TOPIC
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

REFUSED_US = (START_MS + 60_000) * 1000
BAD_PRICE = "prices must be > 0 and low <= open, close <= high"


def vendor_event(symbol: str, second: int = 0, close: float = 25.41) -> bytes:
    start = START_MS + second * 1000
    return (
        f'{{"ev":"A","sym":"{symbol}","v":200,"o":25.39,"c":{close},"h":25.45,"l":25.3,'
        f'"s":{start},"e":{start + 1000}}}'
    ).encode()


def framed(*events: bytes) -> bytes:
    return b"[" + b",".join(events) + b"]"


def published(stage: str, raw: bytes) -> list[RawAggregate]:
    return [decode_raw(value) for _, value in publications(stage, raw, REFUSED_US).messages]


@given(st.lists(st.tuples(st.sampled_from(["AAPL", "BRK.B"]), st.integers(0, 50)), max_size=20))
def test_every_event_of_a_frame_is_published_with_versions_from_the_refusal_on(
    events: list[tuple[str, int]],
) -> None:
    raw = framed(*(vendor_event(symbol, second) for symbol, second in events))
    result = publications("frame", raw, REFUSED_US)
    assert (result.topic, result.problem) == (RAW_TOPIC, "")
    assert [key for key, _ in result.messages] == [symbol.encode() for symbol, _ in events]
    aggregates = published("frame", raw)
    assert [(item.symbol, item.start_timestamp) for item in aggregates] == [
        (symbol, START_MS + second * 1000) for symbol, second in events
    ]
    versions = [item.received_at for item in aggregates]
    assert versions == [REFUSED_US + number for number in range(len(events))]
    assert publications("frame", raw, REFUSED_US) == result, "a repetition publishes the same"


def test_one_event_is_published_without_a_frame() -> None:
    [aggregate] = published("event", vendor_event("AAPL"))
    assert (aggregate.symbol, aggregate.close_price, aggregate.source) == (
        "AAPL",
        25.41,
        "websocket",
    )


def test_what_is_still_refused_is_named_and_the_rest_of_the_frame_is_published() -> None:
    raw = framed(
        vendor_event("ONE"),
        vendor_event("TWO").replace(b"200", b'"many"'),
        vendor_event("SIX", close=99.0),
    )
    result = publications("frame", raw, REFUSED_US)
    assert [key for key, _ in result.messages] == [b"ONE"]
    assert "not an aggregate" in result.problem
    assert BAD_PRICE in result.problem


def test_many_problems_are_counted() -> None:
    bad = [vendor_event("BAD", close=30.0 + number) for number in range(5)]
    assert publications("frame", framed(*bad), REFUSED_US).problem.endswith("; and 2 more")


def test_a_frame_of_statuses_publishes_nothing_and_is_no_problem() -> None:
    raw = b'[{"ev":"status","status":"success","message":"subscribed to: A.AAPL"}]'
    result = publications("frame", raw, REFUSED_US)
    assert (result.messages, result.problem) == ((), "")


@given(st.binary(max_size=60), st.sampled_from(["frame", "event", "validate", "insert"]))
def test_bytes_that_cannot_be_read_are_a_problem_and_no_error(raw: bytes, stage: str) -> None:
    result = publications(stage, raw, REFUSED_US)
    assert result.messages == ()
    assert result.problem or raw.strip(b" \t\r\n,") == b"[]"


def test_a_refused_message_is_published_as_it_is() -> None:
    raw = b" " + encode(raw_aggregate())
    result = publications("validate", raw, REFUSED_US)
    assert (result.topic, result.messages) == (RAW_TOPIC, ((b"AAPL", raw),))


def test_a_message_that_the_filter_would_refuse_again_is_not_published() -> None:
    raw = encode(raw_aggregate(low=-1.0))
    result = publications("validate", raw, REFUSED_US)
    assert result.messages == ()
    assert BAD_PRICE in result.problem


def test_a_refused_row_is_published_as_it_is() -> None:
    raw = encode(to_row(raw_aggregate()))
    result = publications("insert", raw, REFUSED_US)
    assert (result.topic, result.messages) == (FILTERED_TOPIC, ((b"AAPL", raw),))


@pytest.mark.parametrize("stage", ["unknown", "archive"])
def test_a_stage_without_a_way_back_is_a_problem(stage: str) -> None:
    result = publications(stage, vendor_event("AAPL"), REFUSED_US)
    assert result.problem == f"stage {stage!r} has no way back into the stream"
    assert msgspec.to_builtins(result.messages) == ()
