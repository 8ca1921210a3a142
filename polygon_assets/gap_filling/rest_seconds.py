"""The vendor's second bars as messages of RAW_TOPIC, and how they differ from the stored rows.

Add what is read from a bar of REST here; asking for bars belongs to `clients.polygon`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from polygon_assets.clients.polygon import PolygonNoAnswerError
from polygon_assets.messages import LATEST_MS, RawAggregate

WINDOW_MS = 1000
LARGEST = 1e300
"""No float is near its limits, so that any number compares and converts without an error."""
VWAP_TOLERANCE = 0.00015
"""Stream and REST round the average price to four decimals, each in its own way: one unit of the
last decimal and the error of floats are no difference."""
Key = tuple[str, int]
"""Symbol and start in Unix milliseconds."""


@dataclass(frozen=True)
class StoredSecond:
    """The values of a stored row that REST has too."""

    open: float
    high: float
    low: float
    close: float
    volume: Decimal
    vwap: float | None
    received_us: int


@dataclass(frozen=True)
class Differences:
    """The bars of REST that must be published: seconds that are missing, and other values."""

    found: int
    """Bars of REST."""
    missing: list[RawAggregate]
    corrected: list[RawAggregate]


def to_raw(symbol: str, bar: Mapping[str, Any], requested_us: int) -> RawAggregate:
    """The message of a bar; `requested_us` (Unix microseconds) is its version.

    It is the moment before the request, so that a correction which arrives by the stream meanwhile
    is newer. Accumulated volume, official open and the day's average price are not in REST's bars.
    Raises PolygonNoAnswerError for a bar without time, prices or volume.
    """
    try:
        start = bar["t"]
        if type(start) is not int or start % WINDOW_MS or not 0 <= start < LATEST_MS:
            raise ValueError(f"t is no whole second in milliseconds: {start!r}")
        vwap, decimal_volume = bar.get("vw"), bar.get("dv")
        if not isinstance(decimal_volume, str | None):
            raise TypeError(f"dv is no text: {decimal_volume!r}")
        return RawAggregate(
            "A",
            symbol,
            _number(bar["v"]),
            open_price=float(_number(bar["o"])),
            close_price=float(_number(bar["c"])),
            high=float(_number(bar["h"])),
            low=float(_number(bar["l"])),
            start_timestamp=start,
            end_timestamp=start + WINDOW_MS,
            received_at=requested_us,
            source="rest",
            vwap=None if vwap is None else float(_number(vwap)),
            otc=bool(bar.get("otc", False)),
            decimal_volume=decimal_volume,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PolygonNoAnswerError(
            f"second bar of {symbol} is unusable: {str(bar)[:500]}: {error!r:.500}"
        ) from error


def _number(value: object) -> float | int:
    """A finite JSON number. Raises ValueError for any other value, also for text that holds one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise ValueError(f"not a number: {value!r}")
    return value


def differences(bars: Sequence[RawAggregate], stored: Mapping[Key, StoredSecond]) -> Differences:
    """What the stored rows lack. A row that is newer than the request is left alone."""
    missing: list[RawAggregate] = []
    corrected: list[RawAggregate] = []
    for bar in bars:
        row = stored.get((bar.symbol, bar.start_timestamp))
        if row is None:
            missing.append(bar)
        elif row.received_us < bar.received_at and not is_same(bar, row):
            corrected.append(bar)
    return Differences(len(bars), missing, corrected)


def is_same(bar: RawAggregate, row: StoredSecond) -> bool:
    """Whether a stored row has the values of a bar."""
    prices = (bar.open_price, bar.high, bar.low, bar.close_price)
    return (
        prices == (row.open, row.high, row.low, row.close)
        and _volume(bar) == row.volume
        and _is_near(bar.vwap, row.vwap)
    )


def _volume(bar: RawAggregate) -> Decimal | None:
    try:
        return Decimal(bar.decimal_volume or str(bar.volume))
    except InvalidOperation:
        return None


def _is_near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= VWAP_TOLERANCE
