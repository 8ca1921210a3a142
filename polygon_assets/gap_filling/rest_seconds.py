"""The vendor's second bars as messages of RAW_TOPIC, and how they differ from the stored rows.

Add what is read from a bar of REST here; asking for bars belongs to `clients.polygon`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from polygon_assets.clients.polygon_answers import PolygonNoAnswerError
from polygon_assets.events.validation import WINDOW_MS, refusal_reason
from polygon_assets.messages import LATEST_MS, RawAggregate
from polygon_assets.subscriptions import PER_SECOND

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

    missing: list[RawAggregate]
    corrected: list[RawAggregate]

    @property
    def bars(self) -> list[RawAggregate]:
        return [*self.missing, *self.corrected]


def usable(
    symbol: str,
    bars: Iterable[Mapping[str, Any]],
    since_ms: int,
    until_ms: int,
    requested_us: int,
) -> tuple[list[RawAggregate], PolygonNoAnswerError | None]:
    """The messages of the usable bars, and an error that counts the others and names the first.

    A bar is unusable if `to_raw` refuses it, outside the requested seconds (Unix milliseconds), and
    if it contradicts another bar of its second: then neither of the two is used.
    """
    seconds: dict[int, RawAggregate] = {}
    contradictory: set[int] = set()
    problems: list[str] = []
    for bar in bars:
        try:
            event = to_raw(symbol, bar, requested_us)
        except PolygonNoAnswerError as error:
            problems.append(str(error))
            continue
        start = event.start_timestamp
        if not since_ms - WINDOW_MS < start < until_ms:
            problems.append(f"second {start} is not within {since_ms} and {until_ms}")
        elif seconds.setdefault(start, event) != event:
            contradictory.add(start)
    problems += [f"second {start} has two different bars" for start in sorted(contradictory)]
    events = [event for start, event in seconds.items() if start not in contradictory]
    if not problems:
        return events, None
    return events, PolygonNoAnswerError(
        f"{len(problems):,} second bars of {symbol} are unusable and {len(events):,} usable, the "
        f"first problem: {problems[0]}"
    )


def to_raw(symbol: str, bar: Mapping[str, Any], requested_us: int) -> RawAggregate:
    """The message of a bar; `requested_us` (Unix microseconds) is its version.

    It is the moment before the request, so that a correction which arrives by the stream meanwhile
    is newer. Accumulated volume, official open and the day's average price are not in REST's bars.
    An average price that is none becomes null. Raises PolygonNoAnswerError for a bar without time,
    prices or volume, and for one that the filter would refuse: it would never be stored.
    """
    try:
        start = bar["t"]
        if type(start) is not int or start % WINDOW_MS or not 0 <= start < LATEST_MS:
            raise ValueError(f"t is no whole second in milliseconds: {start!r}")
        decimal_volume = bar.get("dv")
        if not isinstance(decimal_volume, str | None):
            raise TypeError(f"dv is no text: {decimal_volume!r}")
        event = RawAggregate(
            PER_SECOND,
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
            vwap=_optional_price(bar.get("vw")),
            otc=bar.get("otc") is True,
            decimal_volume=decimal_volume,
        )
        if reason := refusal_reason(event):
            raise ValueError(reason)
        return event
    except (KeyError, TypeError, ValueError) as error:
        raise PolygonNoAnswerError(
            f"second bar of {symbol} is unusable: {str(bar)[:500]}: {error!r:.500}"
        ) from error


def has_odd_vwap(bar: Mapping[str, Any]) -> bool:
    """Whether the vendor sent an average price that is none."""
    return bar.get("vw") is not None and _optional_price(bar["vw"]) is None


def _number(value: object) -> float | int:
    """A finite JSON number. Raises ValueError for any other value, also for text that holds one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise ValueError(f"not a number: {value!r}")
    return value


def _optional_price(value: object) -> float | None:
    """A price above 0; None for any other value."""
    try:
        price = float(_number(value))
    except ValueError:
        return None
    return price if price > 0 else None


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
    return Differences(missing, corrected)


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


def _is_near(ours: float | None, theirs: float | None) -> bool:
    if ours is None:
        return True  # an unknown price corrects none
    if theirs is None:
        return False
    return abs(ours - theirs) <= VWAP_TOLERANCE
