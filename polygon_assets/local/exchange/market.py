"""The truth of the synthetic market: final bars of any ticker at any moment, a pure function of the seed.

Tests compare what the pipeline stored with this; how bars travel (provisional, corrected, late) is tape.py's.
"""

import datetime as dt
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from polygon_assets.local.exchange.bars import Bars, Patterns, cut, draw_patterns
from polygon_assets.local.exchange.day import DOLLAR, Cells, Tables, TradingDay, draw_tables, trading_day
from polygon_assets.local.exchange.noise import Floats, Ints
from polygon_assets.local.exchange.splits import Splits
from polygon_assets.local.exchange.universe import Universe, build_universe
from polygon_assets.market_calendar import MarketCalendar

_DAYS_KEPT = 8
_TICKERS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Totals:
    """Per ticker: sums of a day up to a moment; `official_open` in cents, 0 before the first regular trade."""

    volume: Ints
    notional: Ints
    official_open: Ints

    def after(self, bars: Bars, regular: bool) -> "Totals":
        """The totals once these bars, the next ones of the day, are added."""
        volume, notional, official_open = self.volume.copy(), self.notional.copy(), self.official_open.copy()
        np.add.at(volume, bars.ticker, bars.volume)
        np.add.at(notional, bars.ticker, bars.notional)
        tickers, first = np.unique(bars.ticker, return_index=True)
        if regular:
            official_open[tickers] = np.where(official_open[tickers] == 0, bars.open[first], official_open[tickers])
        return Totals(volume, notional, official_open)


@dataclass(eq=False)
class Market:
    """A market of `tickers` companies. Two markets with equal arguments agree in every number.

    `activity` scales how often everything trades (1: about as the real market; 1e9: every ticker every second);
    `fraction_rate` is the share of tickers of which fractions of a share trade.
    """

    seed: int = 7
    tickers: int = 10_000
    calendar: MarketCalendar = field(default_factory=lambda: MarketCalendar("NYSE"))
    activity: float = 1.0
    fraction_rate: float = 0.02
    _days: dict[dt.date, TradingDay | None] = field(default_factory=dict, repr=False)

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

    def trading_day(self, day: dt.date) -> TradingDay | None:
        """The day's constants, or None when the market stays closed. The newest few are kept."""
        if day not in self._days:
            session = self.calendar.session(day)
            drawn = trading_day(self.universe, self.splits, self._tables, session, self.activity, self.fraction_rate) if session else None
            if len(self._days) >= _DAYS_KEPT:
                self._days.pop(next(iter(self._days)), None)
            self._days[day] = drawn
        return self._days[day]

    def cut(self, cells: Cells) -> Bars:
        """The final one-second bars of the given minutes."""
        return cut(cells, self.patterns)

    def totals(self, day: TradingDay, minute: int) -> Totals:
        """Volume, notional and official open of every ticker before `minute` of the day."""
        size = len(self.universe)
        volume, notional = np.zeros(size, np.int64), np.zeros(size, np.int64)
        first = np.full(size, day.minutes, np.int64)
        for tickers in _chunks(size):
            cells = day.grid(tickers, 0, minute)
            np.add.at(volume, cells.ticker, cells.volume)
            np.add.at(notional, cells.ticker, cells.notional)
            regular = cells.minute >= day.first_regular_minute
            np.minimum.at(first, cells.ticker[regular], cells.minute[regular])
        return Totals(volume, notional, self._official_opens(day, first))

    def _official_opens(self, day: TradingDay, first: Ints) -> Ints:
        """The open of the first bar in each ticker's first regular minute with trades."""
        traded = np.flatnonzero(first < day.minutes)
        opens = np.zeros(len(first), np.int64)
        bars = self.cut(day.cells(traded, first[traded]))
        tickers, place = np.unique(bars.ticker, return_index=True)
        opens[tickers] = bars.open[place]
        return opens


def _chunks(size: int) -> list[Ints]:
    """Ticker numbers in portions whose minutes fit the processor's cache."""
    return [np.arange(start, min(size, start + _TICKERS_AT_ONCE)) for start in range(0, size, _TICKERS_AT_ONCE)]


def vwap(notional: Ints, volume: Ints) -> Floats:
    """Dollars, rounded to the four decimals the vendor gives."""
    prices: Floats = np.rint(notional / volume) / DOLLAR
    return prices
