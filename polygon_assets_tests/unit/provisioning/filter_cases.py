"""Messages of RAW_TOPIC for every rule of the filter, and what our filter does with each.

Add a case of a single field to unit/events/test_validation.py, from where these are made, and one
that only bytes can express here.
"""

import re
from typing import Any

from polygon_assets.events.validation import refusal_reason, to_row
from polygon_assets.messages import UNREADABLE, FilteredAggregate, decode_raw, encode
from polygon_assets_tests.unit.events.test_validation import REFUSED, SYMBOLS, VOLUMES
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

SUBSCRIBED = frozenset({"AAPL", *SYMBOLS})
UNREADABLE_REASON = "not a raw aggregate"
_QUOTED = re.compile(r"""^(symbol|volume|accumulated_volume) (['"]).*\2 """, re.DOTALL)
_VALID = encode(raw_aggregate())


def messages() -> list[bytes]:
    """Valid, refused, unsubscribed and unreadable messages."""
    accepted: list[dict[str, Any]] = [
        {},
        {"symbol": "MSFT"},
        {"source": "rest", "otc": True},
        {"decimal_volume": "200.123456", "decimal_accumulated_volume": "8642007.5"},
        {"vwap": None, "official_open_price": None, "aggregate_vwap": None, "average_size": None},
        {"average_size": 50.5, "open_price": 25.4, "received_at": (START_MS - 59_000) * 1000},
        *({"symbol": symbol} for symbol in SYMBOLS),
        *({"volume": number} for number, _ in VOLUMES if number is not None),
        *({"accumulated_volume": number} for number, _ in VOLUMES),
        *({"volume": number} for number in (1e30, 1e-7, 0.1, 999_999_999_999.5, 10**12)),
    ]
    refused = [changes for changes, _ in REFUSED]
    return [encode(raw_aggregate(**changes)) for changes in (*accepted, *refused)] + _bytes()


def outcome(message: bytes) -> FilteredAggregate | str | None:
    """The row, the reason to refuse the message, or None for an unsubscribed symbol."""
    try:
        event = decode_raw(message)
    except UNREADABLE as error:
        return f"{UNREADABLE_REASON}: {error}"
    if reason := refusal_reason(event):
        return reason
    return to_row(event) if event.symbol in SUBSCRIBED else None


def comparable(reason: str) -> str:
    """A reason without the words of a JSON reader, and without the quoted symbol or volume.

    Engines spell a line break or 1e30 in their own way; the letter's bytes have it as it came.
    """
    if reason.startswith(UNREADABLE_REASON):
        return UNREADABLE_REASON
    return _QUOTED.sub(r"\1 ", reason)


def _bytes() -> list[bytes]:
    """Messages that no RawAggregate is encoded to."""
    replaced = [
        (b"25.39", b'"25.39"'), (b"25.39", b"null"), (b"25.39", b"true"), (b"25.39", b"[25.39]"),
        (b"25.39", b"1e999"), (b"25.39", b"NaN"), (b"25.39", b"025.39"), (b"25.39", b"2539e-2"),
        (b'"open_price":25.39,', b""), (b'"open_price"', b'"opened"'),
        (b'"open_price"', b'"low":1,"open_price"'),
        (b'"open_price"', b'"new":{"a":[1]},"open_price"'),
        (b'"volume":200', b'"volume":"200"'), (b'"volume":200', b'"volume":true'),
        (b'"volume":200', b'"volume":200,"decimal_volume":200.5'),
        (b'"volume":200', b'"volume":2E2'), (b'"volume":200', b'"volume":1.5E11'),
        (b'"volume":200', b'"volume":200,"otc":1'),
        (b'"volume":200', b'"volume":200,"decimal_volume":null'),
        (b"1795000000000,", b"1795000000000.0,"), (b"1795000000000,", b'"1795000000000",'),
        (b"1795000000000,", b"9223372036854775808,"), (b"1795003000000", b"-1795003000000"),
        (b'"websocket"', b'"elsewhere"'), (b'"websocket"', b"5"), (b'"AAPL"', b"null"),
        (b'"AAPL"', b'"\\u0041APL"'), (b'"AAPL"', b'"AAPL\\n"'), (b'"AAPL"', b'"A\'B"'),
        (b'"AAPL"', b'"AA\xff"'), (b"}", b",}"), (b"}", b"} x"), (b"}", b"} ] x"), (b"}", b"}} x"),
    ]  # fmt: skip
    changed = [_VALID.replace(old, new, 1) for old, new in replaced]
    return [
        *changed,
        b" " + _VALID + b"\n",
        _VALID * 2,
        b"{broken",
        b"[1]",
        b"null",
        b"1",
        b"",
        b"{}",
    ]
