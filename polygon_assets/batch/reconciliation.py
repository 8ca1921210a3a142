"""The stream's trading day against the vendor's daily bars: which symbols differ, by how much, and in which minutes.

Rows come in, judgements go out. What is missing in the stream, what is too much and what drifts are told apart, because each has another
cause: a channel that was never confirmed, an older subscription, a gap.
"""

import datetime as dt
import json
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
"""A symbol that is wholly missing may have hundreds."""
_DAY_BARS = resources.files("polygon_assets.batch") / "reconciliation" / "day_bars.sql"


class Verdict(StrEnum):
    """What the comparison says of one symbol."""

    MATCH = "match"
    MISSING = "missing_in_stream"
    SURPLUS = "surplus_in_stream"
    DRIFT = "drift"


@dataclass(frozen=True)
class DayBar:
    """One symbol's day: prices in US dollars, volume in shares with exact fractions."""

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
    """By which fraction of the vendor's bar the stream may differ from it; 0 asks for equality."""

    volume: float
    price: float


@dataclass(frozen=True)
class Comparison:
    """One symbol's day in the stream and in the vendor's bar, of which at least one is there."""

    symbol: str
    verdict: Verdict
    stream: DayBar | None
    batch: DayBar | None
    volume_drift: float | None
    """(stream - batch) / batch; None where one of them is missing or has a value that is no number."""
    price_drift: float | None
    """The largest of the four prices' differences, as a fraction of the vendor's price."""

    @property
    def severity(self) -> float:
        """How far apart the two are; a bar that is wholly missing is as far as it gets."""
        if self.volume_drift is None or self.price_drift is None:
            return float("inf")
        return max(abs(self.volume_drift), self.price_drift)


def day_bars(connection: "SnowflakeConnection", day: dt.date) -> list[DayBar]:
    """The vendor's bars as the fact table has them. Raises snowflake.connector.errors.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_DAY_BARS.read_text(), {"day": day})
        return [DayBar(*row) for row in cursor.fetchall()]


def compare(
    stream: Iterable[DayBar],
    batch: Iterable[DayBar],
    subscribed: Collection[str] | None,
    tolerance: Tolerance,
) -> list[Comparison]:
    """Each symbol of the stream, and each of `subscribed` (None: every one) that has a bar, in alphabetical order."""
    streamed, bars = ({bar.symbol: bar for bar in side} for side in (stream, batch))
    expected = bars.keys() if subscribed is None else bars.keys() & set(subscribed)
    return [
        _judged(symbol, streamed.get(symbol), bars.get(symbol), tolerance)
        for symbol in sorted(streamed.keys() | expected)
    ]


def different_minutes(
    stream: Mapping[dt.datetime, Decimal], batch: Mapping[dt.datetime, Decimal]
) -> list[dt.datetime]:
    """The minutes in which the two have not the same shares, in order; a minute that one side has not counts as 0 shares."""
    return [
        minute
        for minute in sorted(stream.keys() | batch.keys())
        if stream.get(minute, 0) != batch.get(minute, 0)
    ]


def minute_volumes(answer: bytes) -> dict[dt.datetime, Decimal]:
    """Shares by minute (UTC) from an answer of the vendor's aggregate endpoint; where it sends `dv`, that is exact.

    A volume that is no number is NaN, which equals nothing. Raises ValueError for what is no such answer.
    """
    try:
        results = json.loads(answer, parse_float=Decimal).get("results") or []
        return {dt.datetime.fromtimestamp(bar["t"] / 1000, dt.UTC): _shares(bar) for bar in results}
    except (
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        OverflowError,
        OSError,
        ArithmeticError,
    ) as error:
        raise ValueError(f"no answer with minutes: {error}: {answer[:200]!r}") from error


def _shares(bar: Mapping[str, Any]) -> Decimal:
    sent = bar.get("dv") or bar["v"]
    if sent is None:
        raise ValueError(f"no volume in {dict(bar)}")
    if isinstance(sent, bool):
        return Decimal("NaN")
    try:
        number = Decimal(sent)
    except (TypeError, ValueError, ArithmeticError):
        return Decimal("NaN")
    return number if number.is_finite() else Decimal("NaN")


def spans(minutes: Sequence[dt.datetime]) -> str:
    """Minutes as people say them, in New York time: `10:31-10:33, 15:59`; empty for none."""
    found = [_span(first, last) for first, last in _runs(minutes)]
    more = [f"and {len(found) - SHOWN_SPANS} more"] if len(found) > SHOWN_SPANS else []
    return ", ".join(found[:SHOWN_SPANS] + more)


def _judged(
    symbol: str, stream: DayBar | None, batch: DayBar | None, tolerance: Tolerance
) -> Comparison:
    if stream is None or batch is None:
        return Comparison(
            symbol,
            Verdict.MISSING if stream is None else Verdict.SURPLUS,
            stream,
            batch,
            None,
            None,
        )
    # A comparison with NaN is false, which would pass for "not different".
    if not (stream.is_known and batch.is_known):
        return Comparison(symbol, Verdict.DRIFT, stream, batch, None, None)
    # Exact numbers decide; the fractions that are shown are rounded like any float.
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
    """First and last of each run of consecutive minutes."""
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
