"""The vendor's frames: what is read, what is refused, and that one bad event does not cost the others."""

import msgspec

from polygon_assets.streaming.wire import read_frame, to_raw

EVENT = (
    b'{"ev":"A","sym":"SPCE","v":200,"av":8642007,"op":25.66,"vw":25.3981,"o":25.39,"c":25.4,"h":25.5,"l":25.1,'
    b'"a":25.3714,"z":50,"s":1610144868000,"e":1610144869000}'
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


def test_fractional_volumes_are_carried_as_they_are() -> None:
    [event] = read_frame(frame(EVENT[:-1] + b',"dv":"200.5","dav":"8642007.25","otc":true}')).aggregates
    raw = to_raw(event, 1)
    assert (raw.decimal_volume, raw.decimal_accumulated_volume, raw.otc) == ("200.5", "8642007.25", True)


def test_statuses_and_bare_refusals_are_told_from_aggregates() -> None:
    status = b'{"ev":"status","status":"success","message":"subscribed to: A.SPCE"}'
    refusal = b'{"status":"error","message":"not authorized"}'
    read = read_frame(frame(refusal, status, EVENT))
    assert [item.status for item in read.statuses] == ["error", "success"]
    assert len(read.aggregates) == 1


def test_a_bad_event_is_refused_alone() -> None:
    bad = EVENT.replace(b'"v":200', b'"v":"many"')
    read = read_frame(frame(EVENT, bad, EVENT))
    assert len(read.aggregates) == 2
    [(raw, reason)] = read.refused
    assert raw == bad
    assert "$.v" in reason
    assert not read.whole_is_bad


def test_an_event_with_an_endless_symbol_is_refused() -> None:
    read = read_frame(frame(EVENT.replace(b"SPCE", b"S" * 2_000_000)))
    assert len(read.refused) == 1


def test_garbage_is_refused_whole() -> None:
    for garbage in (b"<html>", b"[{]", b'{"ev":"A"}', b"\xff\xfe", b"", b"[" * 200_000):
        read = read_frame(garbage)
        assert read.whole_is_bad
        assert read.refused[0][0] == garbage


def test_a_text_that_is_not_utf_8_is_refused_alone() -> None:
    read = read_frame(frame(EVENT, EVENT.replace(b"SPCE", b"SP\xff"), EVENT))
    assert (len(read.aggregates), len(read.refused)) == (2, 1)
