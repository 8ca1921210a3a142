"""The synthetic market's final bars of any ticker at any time, a pure function of the seed.

Tests compare the pipeline's rows with these bars. Add an access to bars here; sending them
(provisional, corrected, late) belongs to `stream.tape`.
"""

import datetime as dt
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.bars import Bars, Patterns, cut, draw_patterns
from polygon_assets.local.exchange.market.columns import Columns, ticker_columns
from polygon_assets.local.exchange.market.day import (
    Cells,
    Tables,
    TradingDay,
    draw_tables,
    trading_day,
)
from polygon_assets.local.exchange.market.lateness import Rates, lateness
from polygon_assets.local.exchange.market.splits import Splits
from polygon_assets.local.exchange.market.sums import Sums, empty, of_seconds, whole_day
from polygon_assets.local.exchange.market.totals import Totals, totals_before
from polygon_assets.local.exchange.market.universe import Universe, build_universe
from polygon_assets.market_calendar import CalendarHorizonError, MarketCalendar

_Cached = TypeVar("_Cached")
_CACHED_DAYS = 32
FOR_EVER = 1 << 40
"""A time after every bar, in Unix seconds."""


@dataclass(frozen=True, eq=False)
class Messages:
    """The `A` messages of one ticker on one day.

    `final` are the final versions. Where `late`, `first` was sent before, and `final` followed
    `delay` seconds later. `repeated` messages were sent twice.
    """

    first: Columns
    final: Columns
    late: NDArray[np.bool_]
    delay: NDArray[np.int64]
    repeated: NDArray[np.bool_]


@dataclass(eq=False)
class Market:
    """A market of `tickers` companies. Two markets with equal arguments agree in every number.

    `activity` scales how often tickers trade (1: like the real market; 1e9: every ticker every
    second). `fraction_rate` is the share of tickers with fractional volumes. Unknown symbols raise
    KeyError.
    """

    seed: int = 7
    tickers: int = 10_000
    calendar: MarketCalendar = field(default_factory=lambda: MarketCalendar("NYSE"))
    activity: float = 1.0
    fraction_rate: float = 0.02
    begins: dt.datetime | None = None
    """On the day of this time, nothing is traded before it."""
    _days: dict[dt.date, TradingDay | None] = field(default_factory=dict, repr=False)
    _grouped: dict[dt.date, Sums] = field(default_factory=dict, repr=False)
    _drawing: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _grouping: dict[dt.date, threading.Lock] = field(default_factory=dict, repr=False)
    _asked: int = field(default=0, repr=False)
    """The requests for a day that are being summed."""

    @cached_property
    def universe(self) -> Universe:
        return build_universe(self.seed, self.tickers)

    @cached_property
    def splits(self) -> Splits:
        return Splits(self.universe, self.calendar)

    @cached_property
    def patterns(self) -> Patterns:
        return draw_patterns(self.seed)

    @cached_property
    def _tables(self) -> Tables:
        return draw_tables(self.seed)

    def messages(self, symbol: str, day: dt.date, rates: Rates) -> Messages | None:
        """The stream's messages about one ticker on one day; None when the market stays closed."""
        constants = self.trading_day(day)
        if constants is None:
            return None
        bars = self._ticker_bars(symbol, constants)
        late = lateness(bars, rates)
        final = ticker_columns(constants, bars)
        return Messages(final.without_late(bars, late), final, late.late, late.delay, late.repeated)

    def second_sums(self, symbol: str, day: dt.date, until: int = FOR_EVER) -> Sums:
        """The one-second bars that start before the Unix second `until`."""
        constants = self.trading_day(day)
        if constants is None:
            return empty()
        sums = of_seconds(constants, self._ticker_bars(symbol, constants))
        return sums.where(sums.start < until)

    def day_sums(self, symbol: str, day: dt.date, until: int = FOR_EVER) -> Sums:
        constants = self.trading_day(day)
        number = np.array([self.universe.index[symbol]])
        return whole_day(constants, self.patterns, number, until) if constants else empty()

    def grouped_sums(self, day: dt.date, until: int = FOR_EVER) -> Sums:
        """Like day_sums for every ticker; finished days are cached."""
        constants = self.trading_day(day)
        if constants is None:
            return empty()
        if until < constants.end:
            return self._sum_for_request(constants, until)
        with self._lock_of(day):
            sums = self._grouped.get(day)
            if sums is None:
                sums = self._sum_for_request(constants, until)
                _cache(self._grouped, day, sums)
        return sums

    def prepare_day(self, day: dt.date) -> None:
        """Sum a finished day before anyone asks for it; requests for other days go first."""
        constants = self.trading_day(day)
        if constants is None:
            return
        with self._lock_of(day):
            if day not in self._grouped:
                tickers = self.universe.keys
                sums = whole_day(constants, self.patterns, tickers, FOR_EVER, self._let_requests_by)
                _cache(self._grouped, day, sums)

    def _lock_of(self, day: dt.date) -> threading.Lock:
        """One lock per day: a request waits only while its own day is being summed."""
        with self._drawing:
            return self._grouping.setdefault(day, threading.Lock())

    def _sum_for_request(self, day: TradingDay, until: int) -> Sums:
        with self._drawing:
            self._asked += 1
        try:
            return whole_day(day, self.patterns, self.universe.keys, until)
        finally:
            with self._drawing:
                self._asked -= 1

    def _let_requests_by(self) -> None:
        while self._asked:
            time.sleep(0.01)

    def finished_days(self, now: dt.datetime) -> Iterator[dt.date]:
        """The trading days before today, newest first."""
        day = self.calendar.day_of(now)
        while True:
            try:
                day = self.calendar.previous_day(day)
            except CalendarHorizonError:
                return
            yield day

    def trading_day(self, day: dt.date) -> TradingDay | None:
        """The day's constants, or None when the market stays closed; the newest few are cached."""
        with self._drawing:
            if day not in self._days:
                _cache(self._days, day, self._draw(day))
            return self._days[day]

    def _draw(self, day: dt.date) -> TradingDay | None:
        session = self.calendar.session(day)
        if session is None:
            return None
        begins = (
            self.begins
            if self.begins and self.calendar.day_of(self.begins) == day
            else session.extended_open
        )
        rates = {"activity": self.activity, "fraction_rate": self.fraction_rate}
        return trading_day(self.universe, self.splits, self._tables, session, begins, **rates)

    def cut(self, cells: Cells) -> Bars:
        """The final one-second bars of these minutes."""
        return cut(cells, self.patterns)

    def totals(self, day: TradingDay, minute: int) -> Totals:
        """Running totals of every ticker before `minute` of the day."""
        return totals_before(day, self.patterns, minute)

    def _ticker_bars(self, symbol: str, day: TradingDay) -> Bars:
        return self.cut(day.grid(np.array([self.universe.index[symbol]]), 0, day.minutes).traded)


def _cache(cache: dict[dt.date, _Cached], day: dt.date, value: _Cached) -> None:
    """Add a value to a small cache, in place of its oldest entry."""
    while len(cache) >= _CACHED_DAYS:
        cache.pop(next(iter(cache)), None)
    cache[day] = value
