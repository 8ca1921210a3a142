"""The events of each second: first versions, corrections and repetitions, encoded.

Add the conversion of final bars into messages here; sending them to clients belongs to `feed`.
"""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import compress

import msgspec
import numpy as np

from polygon_assets.local.exchange.market.columns import Columns, final_columns, minute_columns
from polygon_assets.local.exchange.market.day import SHARE, TradingDay
from polygon_assets.local.exchange.market.lateness import LONGEST_DELAY, Rates, lateness
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.market.noise import Ints
from polygon_assets.local.exchange.market.totals import Totals
from polygon_assets.local.exchange.market.universe import Universe


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """An `A` or `AM` message in the vendor's form; fields with their default value are omitted."""

    ev: str
    sym: str
    v: int
    av: int
    vw: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 - the vendor's name
    a: float
    z: int
    s: int
    e: int
    op: float | None = None
    otc: bool = False
    dv: str | None = None
    dav: str | None = None


encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded events in sending order, with their symbols."""

    symbols: list[str] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)

    def add(self, symbol: str, event: bytes) -> None:
        self.symbols.append(symbol)
        self.events.append(event)

    def extend(self, other: "Batch") -> None:
        self.symbols.extend(other.symbols)
        self.events.extend(other.events)

    def only(self, symbols: set[str]) -> "Batch":
        return self._where([symbol in symbols for symbol in self.symbols])

    def without(self, symbols: set[str]) -> "Batch":
        return self._where([symbol not in symbols for symbol in self.symbols]) if symbols else self

    def _where(self, chosen: list[bool]) -> "Batch":
        return Batch(list(compress(self.symbols, chosen)), list(compress(self.events, chosen)))


@dataclass(frozen=True, eq=False)
class _Minute:
    """One computed minute: first versions of its bars by second, and the day's totals after it."""

    columns: Columns
    bounds: list[int]
    repeated: Ints
    minute_bars: Batch
    totals: Totals


class Tape:
    """Random access to the stream; cheapest when seconds are read in order."""

    def __init__(self, market: Market, rates: Rates, first_second: int = 0) -> None:
        """The tape has no events of seconds before `first_second`, not even corrections."""
        self.market = market
        self.rates = rates
        self.first_second = first_second
        self._minutes: dict[int, _Minute | None] = {}
        self._due: defaultdict[int, Batch] = defaultdict(Batch)

    def events_of(self, second: int) -> Batch:
        """`A` events sent for this Unix second: its bars, some of them twice, then the corrections
        of earlier seconds that are due."""
        minute = self._minute(second - second % 60)
        corrections = self._due.pop(second, Batch())
        if minute is None:
            return corrections
        first, end = minute.bounds[second % 60], minute.bounds[second % 60 + 1]
        batch = self._encoded("A", minute.columns.rows(slice(first, end)))
        for place in minute.repeated[(first <= minute.repeated) & (minute.repeated < end)].tolist():
            batch.add(batch.symbols[place - first], batch.events[place - first])
        batch.extend(corrections)
        return batch

    def minute_bars(self, second: int) -> Batch:
        """`AM` events of the minute that ends with this Unix second."""
        minute = self._minute(second - second % 60) if second % 60 == 59 else None
        return minute.minute_bars if minute else Batch()

    def prepare(self, second: int) -> None:
        """Compute the minute of this second unless it is known; any thread may do so in advance."""
        self._minute(second - second % 60)

    def _minute(self, start: int) -> _Minute | None:
        """The minute that starts with this Unix second; None while the market is closed."""
        if start not in self._minutes:
            if start - 60 not in self._minutes:
                self._draw_revision_window(start)
            minute = self._draw_if_open(start)
            self._minutes = {
                key: value for key, value in self._minutes.items() if key == start - 60
            } | {start: minute}
        return self._minutes[start]

    def _draw_revision_window(self, start: int) -> None:
        """After a jump in time, compute the minutes whose corrections may still be due."""
        self._due.clear()
        self._minutes = {}
        for earlier in range(max(start - LONGEST_DELAY, self.first_second // 60 * 60), start, 60):
            self._minutes = {earlier: self._draw_if_open(earlier)}
        for second in [second for second in self._due if second < start]:
            del self._due[second]

    def _draw_if_open(self, start: int) -> _Minute | None:
        session = self.market.calendar.session_at(dt.datetime.fromtimestamp(start, dt.UTC))
        day = self.market.trading_day(session.day) if session else None
        if day is None:
            return None
        before = self._minutes.get(start - 60) if start > day.start else None
        return self._draw(
            day,
            start,
            before.totals if before else self.market.totals(day, (start - day.start) // 60),
        )

    def _draw(self, day: TradingDay, start: int, before: Totals) -> _Minute:
        minute = (start - day.start) // 60
        bars = self.market.cut(day.grid(self.market.universe.keys, minute, minute + 1).traded)
        after = before.after(bars, regular=minute >= day.regular.start)
        bars = bars.where(np.argsort(bars.second, kind="stable"))
        late = lateness(bars, self.rates)
        final = final_columns(day, bars, before, after)
        corrected = np.flatnonzero(late.late)
        self._schedule(final.rows(corrected), late.delay[corrected])
        return _Minute(
            columns=final.without_late(bars, late),
            bounds=np.searchsorted(bars.second, 60 * minute + np.arange(61)).tolist(),
            repeated=np.flatnonzero(late.repeated),
            minute_bars=self._encoded("AM", minute_columns(day, bars, before, after)),
            totals=after,
        )

    def _schedule(self, corrections: Columns, delay: Ints) -> None:
        batch = self._encoded("A", corrections)
        due = (corrections.start_ms // 1000 + delay).tolist()
        for second, symbol, event in zip(due, batch.symbols, batch.events, strict=True):
            self._due[second].add(symbol, event)

    def _encoded(self, kind: str, rows: Columns) -> Batch:
        return encoded(kind, rows, self.market.universe)


def encoded(kind: str, rows: Columns, universe: Universe) -> Batch:
    """Messages in the vendor's form; `kind` is A or AM."""
    symbols = universe.symbol_array[rows.ticker].tolist()
    otc = universe.otc[rows.ticker].tolist()
    events = [
        encode(
            Event(
                kind,
                symbol,
                v // SHARE,
                av // SHARE,
                vw,
                o,
                c,
                h,
                low,
                a,
                z,
                s,
                e,
                op or None,
                otc,
                decimal(v),
                decimal(av),
            )
        )
        for symbol, otc, v, av, vw, o, c, h, low, a, z, s, e, op in zip(
            symbols, otc, *rows.lists(), strict=True
        )
    ]
    return Batch(symbols, events)


def decimal(volume: int) -> str | None:
    """A volume in thousandths as the vendor's decimal string; None for whole shares."""
    whole, part = divmod(volume, SHARE)
    return f"{whole}.{part:03d}".rstrip("0") if part else None
