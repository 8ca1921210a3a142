"""What makes an aggregate valid, and the row it becomes: pure functions of one message.

Add a reason to refuse an aggregate here, and as SQL in `provisioning.engine_filter.rules`; `filter`
sends refused ones to `polygon_dead_letters`, and the sink keeps them in `market.dead_letters`. The
limits come from the vendor's channel description (one-second windows, Unix milliseconds), its first
year of data (2003), and the column types of `market.stock_aggregates`.
"""

import math
import re
import sys
from decimal import Decimal
from functools import lru_cache
from time import gmtime, strftime

from polygon_assets.messages import FilteredAggregate, RawAggregate
from polygon_assets.subscriptions import PER_SECOND, SYMBOL

LONGEST_SYMBOL = 20
SHOWN_SYMBOL = 40
"""How much of a symbol a reason shows."""
WINDOW_MS = 1000
"""The length of an aggregate of `A.*`."""
FIRST_DAY_MS = 1_041_379_200_000
"""2003-01-01: the vendor has nothing older."""
CLOCK_TOLERANCE_MS = 60_000
"""How far the vendor's clock may be ahead of ours. A stamp in a wrong unit is off by years; a
machine whose clock is off by seconds must not refuse the whole market: `status` shows its skew."""
DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
"""Decimal(18, 6) without loss; fractional shares are reported with up to six decimals."""


def refusal_reason(event: RawAggregate) -> str | None:
    """The first reason to refuse an aggregate, or None."""
    return (
        _identity_problem(event)
        or _time_problem(event)
        or _price_problem(event)
        or _volume_problem(event)
    )


def to_row(event: RawAggregate) -> FilteredAggregate:
    """The row of a valid aggregate: without event_type, with exact instead of rounded volumes."""
    return FilteredAggregate(
        event.symbol,
        event.start_timestamp,
        event.end_timestamp,
        event.open_price,
        event.high,
        event.low,
        event.close_price,
        exact_decimal(event.decimal_volume, event.volume) or "0",
        event.vwap,
        exact_decimal(event.decimal_accumulated_volume, event.accumulated_volume),
        event.official_open_price,
        event.aggregate_vwap,
        event.average_size,
        event.otc,
        event.received_at,
        event.source,
        readable(event.start_timestamp),
    )


@lru_cache(maxsize=4096)
def readable(timestamp_ms: int) -> str:
    """`yyyy-MM-ddTHH:mm:ss.SSSZ`. Thousands of symbols share a second, so the text is cached."""
    return (
        strftime("%Y-%m-%dT%H:%M:%S", gmtime(timestamp_ms // 1000)) + f".{timestamp_ms % 1000:03d}Z"
    )


def exact_decimal(decimal: str | None, number: float | None) -> str | None:
    """A volume as decimal text: the vendor's exact one, or the number without an exponent."""
    if decimal is not None:
        return decimal
    if number is None:
        return None
    if isinstance(number, int):
        return str(number)
    # Not rounded: a number that does not fit into six decimals must be refused, not changed.
    return f"{Decimal(repr(number)):f}".removesuffix(".0")


def _identity_problem(event: RawAggregate) -> str | None:
    if event.event_type != PER_SECOND:
        return f"event_type {event.event_type!r} is not the per-second aggregate {PER_SECOND!r}"
    return (
        None
        if _well_formed(event.symbol)
        else f"symbol {event.symbol[:SHOWN_SYMBOL]!r} is not a ticker symbol"
    )


@lru_cache(maxsize=32_768)
def _well_formed(symbol: str) -> bool:
    return len(symbol) <= LONGEST_SYMBOL and SYMBOL.fullmatch(symbol) is not None


def _time_problem(event: RawAggregate) -> str | None:
    start, end = event.start_timestamp, event.end_timestamp
    if end - start != WINDOW_MS:
        return f"window of {end - start} ms from {start} is not one second"
    if start % WINDOW_MS:
        return f"start_timestamp {start} is not a whole second"
    if start < FIRST_DAY_MS:
        return f"start_timestamp {start} is before 2003: not Unix milliseconds?"
    if end > event.received_at // 1000 + CLOCK_TOLERANCE_MS:
        received_ms = event.received_at // 1000
        ahead = (end - received_ms) / 1000
        return (
            f"end_timestamp {end} is {ahead:,.1f} s later than its arrival at {received_ms}: "
            "the vendor's clock or this machine's is wrong"
        )
    return None


def _price_problem(event: RawAggregate) -> str | None:
    low, high, open_, close = event.low, event.high, event.open_price, event.close_price
    if low > 0 and low <= open_ <= high and low <= close <= high < math.inf:
        return _optional_price_problem(event)
    return (
        "prices must be > 0 and low <= open, close <= high: "
        f"open {open_}, high {high}, low {low}, close {close}"
    )


def _optional_price_problem(event: RawAggregate) -> str | None:
    for name in ("vwap", "official_open_price", "aggregate_vwap"):
        price = getattr(event, name)
        if price is not None and not 0 < price < math.inf:
            return f"{name} {price} must be > 0"
    return None


def _volume_problem(event: RawAggregate) -> str | None:
    for name, decimal, number in (
        ("volume", event.decimal_volume, event.volume),
        ("accumulated_volume", event.decimal_accumulated_volume, event.accumulated_volume),
    ):
        text = exact_decimal(decimal, number)
        if text is not None and not DECIMAL.fullmatch(text):
            return (
                f"{name} {text!r} must be >= 0 with at most 12 digits before and 6 after the point"
            )
    size = event.average_size
    return (
        f"average_size {size} must be >= 0"
        if size is not None and not 0 <= size <= sys.float_info.max
        else None
    )
