"""The vendor's frames: events are read or refused, and a bad event costs no other."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.events.vendor_channels import Frame, Status, read_frame, to_raw

EVENT = (
    b'{"ev":"A","sym":"SPCE","v":200,"av":8642007,"op":25.66,"vw":25.3981,"o":25.39,"c":25.4,'
    b'"h":25.5,"l":25.1,"a":25.3714,"z":50,"s":1610144868000,"e":1610144869000}'
)


def frame(*parts: bytes) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def test_each_field_arrives_under_its_readable_name() -> None:
    [event] = read_frame(frame(EVENT)).aggregates
    raw = to_raw(event, 1_610_144_871_000_123)
    assert msgspec.to_builtins(raw) == {
        "event_type": "A",
        "symbol": "SPCE",
        "volume": 200,
        "accumulated_volume": 8642007,
        "official_open_price": 25.66,
        "vwap": 25.3981,
        "open_price": 25.39,
        "close_price": 25.4,
        "high": 25.5,
        "low": 25.1,
        "aggregate_vwap": 25.3714,
        "average_size": 50,
        "start_timestamp": 1610144868000,
        "end_timestamp": 1610144869000,
        "received_at": 1_610_144_871_000_123,
        "source": "websocket",
    }


def test_fractional_volumes_stay_unchanged() -> None:
    [event] = read_frame(
        frame(EVENT[:-1] + b',"dv":"200.5","dav":"8642007.25","otc":true}')
    ).aggregates
    raw = to_raw(event, 1)
    assert (raw.decimal_volume, raw.decimal_accumulated_volume, raw.otc) == (
        "200.5",
        "8642007.25",
        True,
    )


def test_statuses_and_bare_refusals_are_not_aggregates() -> None:
    status = b'{"ev":"status","status":"success","message":"subscribed to: A.SPCE"}'
    refusal = b'{"status":"error","message":"not authorized"}'
    read = read_frame(frame(refusal, status, EVENT))
    assert [item.status for item in read.statuses] == ["error", "success"]
    assert len(read.aggregates) == 1


def test_only_the_bad_event_is_refused() -> None:
    bad = EVENT.replace(b'"v":200', b'"v":"many"')
    read = read_frame(frame(EVENT, bad, EVENT))
    assert len(read.aggregates) == 2
    [refused] = read.refused
    assert refused.raw == bad
    assert "$.v" in refused.reason
    assert not read.is_incomplete


def test_an_event_with_a_symbol_of_two_megabytes_is_refused() -> None:
    read = read_frame(frame(EVENT.replace(b"SPCE", b"S" * 2_000_000)))
    assert len(read.refused) == 1


def test_garbage_is_refused_whole() -> None:
    for garbage in (
        b"<html>",
        b"\xff\xfe",
        b"",
        b"[" * 200_000,
        b'[{"a":' * 100_000,
        b"true",
        EVENT[:40] + EVENT[:40],
    ):
        read = read_frame(garbage)
        assert [part.raw for part in read.refused] == [garbage]
        assert read.is_incomplete


def test_only_the_event_that_is_not_utf_8_is_refused() -> None:
    read = read_frame(frame(EVENT, EVENT.replace(b"SPCE", b"SP\xff"), EVENT))
    assert (len(read.aggregates), len(read.refused)) == (2, 1)


def symbols(read: Frame) -> list[str]:
    return [event.symbol for event in read.aggregates]


def named(symbol: bytes) -> bytes:
    return EVENT.replace(b"SPCE", symbol)


DAMAGES = {
    "NaN": (b"25.3981", b"NaN"),
    "Infinity": (b"25.3981", b"-Infinity"),
    "no value": (b"25.3981", b""),
    "leading zero": (b"8642007", b"08642007"),
    "cut number": (b"25.3981", b"25."),
    "number beyond a float": (b"25.3981", b"1e400"),
    "no closing quote of a key": (b'"vw"', b'"vw'),
    "no opening quote of a key": (b'"vw"', b'vw"'),
    "no closing quote of the kind": (b'"ev"', b'"ev'),
    "no closing quote of a value": (b'"A"', b'"A'),
    "quote inside a value": (b'"BAD"', b'"B"D"'),
    "control character in a value": (b'"BAD"', b'"B\nD"'),
    "not UTF-8": (b'"BAD"', b'"B\xffD"'),
    "no colon": (b'"vw":', b'"vw"'),
    "no comma": (b',"vw"', b'"vw"'),
    "two commas": (b',"vw"', b',,"vw"'),
    "trailing comma": (b"}", b",}"),
    "no closing brace": (b"}", b""),
    "no opening brace": (b"{", b""),
    "a list that is never closed": (b"25.3981", b"[25.3981"),
    "an object that is never closed": (b"25.3981", b"{25.3981"),
    "single quotes": (b'"BAD"', b"'BAD'"),
    "Python's None": (b"25.3981", b"None"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_syntax_error_costs_only_its_own_event(damage: str, place: int) -> None:
    bad = named(b"BAD").replace(*DAMAGES[damage], 1)
    parts = [named(b"ONE"), named(b"TWO")]
    parts.insert(place, bad)
    read = read_frame(frame(*parts))
    assert symbols(read) == ["ONE", "TWO"]
    assert [part.raw.strip(b"\n") for part in read.refused] == [bad.strip(b"\n")]
    assert not read.is_incomplete
    assert read.read == 3


@pytest.mark.parametrize(
    "text",
    [b"[%s%s]", b"[%s,,%s]", b"[,%s,%s,]", b"%s,%s]", b" [ %s , %s ] ", b"\xef\xbb\xbf[%s,%s]"],
)
def test_errors_between_events_cost_no_event(text: bytes) -> None:
    read = read_frame(text % (named(b"ONE"), named(b"TWO")))
    assert symbols(read) == ["ONE", "TWO"]
    assert not read.refused


@pytest.mark.parametrize("text", [b"[%s},%s]", b"[{%s,%s]", b"[%s],%s]"])
def test_stray_punctuation_is_refused_and_hides_no_event(text: bytes) -> None:
    read = read_frame(text % (named(b"ONE"), named(b"TWO")))
    assert symbols(read) == ["ONE", "TWO"]
    assert len(read.refused) == 1
    assert not read.is_incomplete


@pytest.mark.parametrize(
    "part",
    [
        frame(named(b"ONE"), named(b"TWO")),
        b'{"data":%s}' % frame(named(b"ONE"), named(b"TWO")),
        named(b"ONE")[:-1] + b"," + named(b"TWO")[1:],
    ],
)
def test_one_part_with_two_events_is_refused_and_the_frame_is_incomplete(part: bytes) -> None:
    read = read_frame(frame(part, named(b"LAST")))
    assert symbols(read) == ["LAST"]
    assert [refused.raw for refused in read.refused] == [part]
    assert read.is_incomplete
    assert read.places == [2]


def test_an_unknown_field_may_hold_a_whole_event() -> None:
    event = named(b"ONE")[:-1] + b',"former":' + named(b"TWO") + b"}"
    read = read_frame(frame(event, named(b"LAST")))
    assert (symbols(read), read.refused) == (["ONE", "LAST"], [])


def test_refused_parts_have_a_place_between_the_events_of_their_frame() -> None:
    bad = named(b"BAD").replace(b"25.3981", b"NaN")
    read = read_frame(frame(named(b"ONE"), bad, named(b"TWO"), b"7"))
    assert (read.places, [part.place for part in read.refused]) == ([0, 2], [1, 3])
    assert read.size == 4
    read = read_frame(frame(named(b"ONE"), named(b"TWO")))
    assert (list(read.places), read.size) == ([0, 1], 2)


@pytest.mark.parametrize(
    "text",
    [
        frame(named(b"ONE"), named(b"TWO"))[:-1],
        frame(named(b"ONE"), named(b"TWO"))[:-5],
        frame(named(b"ONE"), b"<garbage of any length>"),
        frame(named(b"ONE"), named(b"BAD")[:-1].replace(b"}", b"") + named(b"BAD")[1:-1] + b"\0"),
    ],
)
def test_a_frame_with_an_unknown_number_of_lost_events_is_incomplete(text: bytes) -> None:
    read = read_frame(text)
    assert "ONE" in symbols(read)
    assert read.is_incomplete
    assert read.refused[-1].raw
    assert read.read == len(read.aggregates) + len(read.statuses) + len(read.refused)


def test_one_object_without_a_list_around_it_is_one_event() -> None:
    assert symbols(read_frame(named(b"ONE"))) == ["ONE"]
    assert read_frame(
        b'{"ev":"status","status":"error","message":"authentication failed"}'
    ).statuses == [Status("error", "authentication failed")]


def test_only_ev_decides_between_status_and_aggregate() -> None:
    delayed = EVENT[:-1] + b',"status":"delayed","message":"15 minutes","unknown":{"x":[1]}}'
    status = (
        b'{"sym":"SPCE","status":"success","ev":"status","message":"subscribed to: A.SPCE","v":1}'
    )
    read = read_frame(frame(status, delayed))
    assert read.statuses == [Status("success", "subscribed to: A.SPCE", "sym: SPCE; v: 1")]
    assert symbols(read) == ["SPCE"]
    assert (len(read.refused), read.read) == (0, 2)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (b'{"ev":"status","status":"error","message":null}', Status("error", "")),
        (b'{"ev":"status","status":"error"}', Status("error", "")),
        (b'{"ev":"status","message":"words"}', Status("", "words")),
        (b'{"ev":"status","status":401,"message":{"code":7}}', Status("401", '{"code":7}')),
        (b'{"status":"error","message":"not authorized"}', Status("error", "not authorized")),
    ],
)
def test_a_status_is_read_whatever_types_its_fields_have(status: bytes, expected: Status) -> None:
    assert read_frame(frame(status, EVENT)).statuses == [expected]


@pytest.mark.parametrize(
    "part",
    [
        b"1",
        b"null",
        b'"x"',
        b"[]",
        b"{}",
        b'{"sym":"AAPL"}',
        b'{"ev":null}',
        b'{"ev":7,"status":"x"}',
        b'{"ev":"AM"}',
    ],
)
def test_a_part_that_is_neither_status_nor_aggregate_costs_no_event(part: bytes) -> None:
    read = read_frame(frame(EVENT, part))
    assert (len(read.aggregates), len(read.statuses), [item.raw for item in read.refused]) == (
        1,
        0,
        [part],
    )


def test_the_reason_shows_the_place_of_a_syntax_error() -> None:
    [refused] = read_frame(frame(EVENT.replace(b"25.3981", b"NaN"), EVENT)).refused
    assert '"vw":N' in refused.reason


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 400))
def test_every_part_of_any_frame_is_counted_once(noise: bytes, start: int, end: int) -> None:
    whole = frame(named(b"ONE"), b'{"ev":"status","status":"x"}', named(b"TWO"))
    read = read_frame(whole[:start] + noise + whole[end:])
    assert read.read == len(read.aggregates) + len(read.statuses) + len(read.refused)
    assert read.refused or read.statuses or read.aggregates or not noise.strip(b" []\t\r\n,")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"[" + b"{}," * 1_000_000 + b"{}]",
        b"[" + b"{}," * 1_000_000,
        b"[" + b'{"k":[' * 300 + b"1," * 2_000_000,
    ],
    ids=["a million events", "a million events, cut off", "objects that are never closed"],
)
def test_nonsense_of_megabytes_is_refused_whole_within_seconds(nonsense: bytes) -> None:
    began = time.process_time()
    read = read_frame(nonsense)
    assert [part.raw for part in read.refused] == [nonsense]
    assert read.is_incomplete
    assert time.process_time() - began < 10
