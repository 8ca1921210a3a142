"""Rules that compare a streamed trading day with the vendor's daily bars, by symbol and minute.

Add a rule as a pure function here; reading and storing the two sides belongs to `day_comparison`.
The tolerances are the settings VOLUME_TOLERANCE and PRICE_TOLERANCE; how many symbols may exceed
them belongs to the check in `defs.assets.reconciliation`.
Missing symbols, surplus symbols and drift are separate verdicts, because each has another cause: a
channel that was never confirmed, an older subscription, a gap.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from importlib import resources
from math import isfinite
from typing import TYPE_CHECKING, Any

from polygon_assets.market_calendar import NEW_YORK

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

ONE_MINUTE = dt.timedelta(minutes=1)
SHOWN_SPANS = 30
"""Spans of minutes shown per symbol; a symbol missing in the stream may have hundreds."""
_DAY_BARS = resources.files("polygon_assets.batch") / "reconciliation" / "day_bars.sql"


class Verdict(StrEnum):
    """The result of comparing one symbol."""

    MATCH = "match"
    MISSING = "missing_in_stream"
    SURPLUS = "surplus_in_stream"
    DRIFT = "drift"


@dataclass(frozen=True)
class DayBar:
    """One symbol's day: prices in US dollars, volume in shares with exact fractions.

    A bar of the marts may lack a value: then it is None, and `is_known` is false.
    """

    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: Decimal

    @property
    def prices(self) -> tuple[float, float, float, float]:
        return self.open, self.high, self.low, self.close

    @property
    def is_known(self) -> bool:
        """Whether each value is a number."""
        return all(value is not None and isfinite(value) for value in (*self.prices, self.volume))


@dataclass(frozen=True)
class Tolerance:
    """The largest accepted difference, as a fraction of the vendor's bar; 0 demands equality.

    The values are the settings VOLUME_TOLERANCE and PRICE_TOLERANCE.
    """

    volume: float
    price: float


@dataclass(frozen=True)
class Comparison:
    """One symbol's day in the stream and in the vendor's bars; at least one side is not None."""

    symbol: str
    verdict: Verdict
    stream: DayBar | None
    batch: DayBar | None
    volume_drift: float | None
    """(stream - batch) / batch; None if a side is missing or has a value that is no number."""
    price_drift: float | None
    """The largest of the four prices' differences, as a fraction of the vendor's price."""

    @property
    def severity(self) -> float:
        """How far apart the sides are; infinite if a bar is missing or not all numbers."""
        if self.volume_drift is None or self.price_drift is None:
            return float("inf")
        return max(abs(self.volume_drift), self.price_drift)


def day_bars(connection: "SnowflakeConnection", day: dt.date) -> list[DayBar]:
    """The vendor's bars in the fact table. Raises snowflake.connector.errors.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_DAY_BARS.read_text(), {"day": day})
        return [DayBar(*row) for row in cursor.fetchall()]


def compare(
    stream: Iterable[DayBar],
    batch: Iterable[DayBar],
    subscribed: Collection[str] | None,
    tolerance: Tolerance,
) -> list[Comparison]:
    """Compare each streamed symbol and each subscribed symbol with a bar, in alphabetical order.

    `subscribed` None means all symbols.
    """
    streamed, bars = ({bar.symbol: bar for bar in side} for side in (stream, batch))
    expected = bars.keys() if subscribed is None else bars.keys() & set(subscribed)
    return [
        _compare_symbol(symbol, streamed.get(symbol), bars.get(symbol), tolerance)
        for symbol in sorted(streamed.keys() | expected)
    ]


def different_minutes(
    stream: Mapping[dt.datetime, Decimal], batch: Mapping[dt.datetime, Decimal]
) -> list[dt.datetime]:
    """The minutes with different volumes, in order; a minute missing on a side counts 0 shares."""
    return [
        minute
        for minute in sorted(stream.keys() | batch.keys())
        if stream.get(minute, 0) != batch.get(minute, 0)
    ]


def minute_volumes(bars: Sequence[Mapping[str, Any]], day: dt.date) -> dict[dt.datetime, Decimal]:
    """Shares by minute (UTC) of the vendor's bars of a day, from `dv` if sent, which is exact.

    A volume that is no number is NaN, which equals nothing. Raises ValueError for a bar without a
    moment or volume, for a minute of another New York day, and for one with two bars.
    """
    try:
        volumes = {dt.datetime.fromtimestamp(bar["t"] / 1000, dt.UTC): _shares(bar) for bar in bars}
    except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
        raise ValueError(
            f"the answer has no usable minutes: {error!r}: {str(bars)[:200]}"
        ) from error
    if len(volumes) < len(bars):
        raise ValueError(f"the answer has no usable minutes: one of {len(bars)} comes twice")
    if strangers := [minute for minute in volumes if minute.astimezone(NEW_YORK).date() != day]:
        raise ValueError(f"the answer has no usable minutes: {strangers[0]} is not of {day}")
    return volumes


def _shares(bar: Mapping[str, Any]) -> Decimal:
    sent = bar.get("dv") or bar["v"]
    if sent is None:
        raise ValueError(f"no volume in {dict(bar)}")
    if isinstance(sent, bool):
        return Decimal("NaN")
    try:
        # The text of a float has the digits that the vendor sent.
        number = Decimal(str(sent))
    except (TypeError, ValueError, ArithmeticError):
        return Decimal("NaN")
    return number if number.is_finite() else Decimal("NaN")


def spans(minutes: Sequence[dt.datetime]) -> str:
    """The minutes as text in New York time: `10:31-10:33, 15:59`; empty for no minutes."""
    texts = [_span(first, last) for first, last in _runs(minutes)]
    more = [f"and {len(texts) - SHOWN_SPANS} more"] if len(texts) > SHOWN_SPANS else []
    return ", ".join(texts[:SHOWN_SPANS] + more)


def _compare_symbol(
    symbol: str, stream: DayBar | None, batch: DayBar | None, tolerance: Tolerance
) -> Comparison:
    if stream is None or batch is None:
        verdict = Verdict.MISSING if stream is None else Verdict.SURPLUS
        return Comparison(symbol, verdict, stream, batch, None, None)
    # Any comparison with NaN is false, so NaN would count as "not different" below.
    if not (stream.is_known and batch.is_known):
        return Comparison(symbol, Verdict.DRIFT, stream, batch, None, None)
    # Volumes are judged as exact decimals, prices by the same fraction that is reported.
    volume_differs = (
        abs(stream.volume - batch.volume) > Decimal(str(tolerance.volume)) * batch.volume
    )
    price_drift = max(
        _fraction(ours, theirs) for ours, theirs in zip(stream.prices, batch.prices, strict=True)
    )
    verdict = Verdict.DRIFT if volume_differs or price_drift > tolerance.price else Verdict.MATCH
    return Comparison(
        symbol, verdict, stream, batch, _signed_fraction(stream.volume, batch.volume), price_drift
    )


def _fraction(ours: float, theirs: float) -> float:
    return abs(_signed_fraction(Decimal(str(ours)), Decimal(str(theirs))))


def _signed_fraction(ours: Decimal, theirs: Decimal) -> float:
    if ours == theirs:
        return 0.0
    return float((ours - theirs) / theirs) if theirs else 1.0


def _runs(minutes: Sequence[dt.datetime]) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The first and last minute of each run of consecutive minutes."""
    first = last = None
    for minute in minutes:
        if first is not None and last is not None and minute - last > ONE_MINUTE:
            yield first, last
            first = None
        first, last = first or minute, minute
    if first is not None and last is not None:
        yield first, last


def _span(first: dt.datetime, last: dt.datetime) -> str:
    start, end = (f"{minute.astimezone(NEW_YORK):%H:%M}" for minute in (first, last))
    return start if first == last else f"{start}-{end}"
