"""Running totals of a day, for the stream's accumulated volume, day VWAP and official open.

Add a running total here; the fields of messages belong to `columns`.
"""

from dataclasses import dataclass

import numpy as np

from polygon_assets.local.exchange.market.bars import Bars, Patterns, cut
from polygon_assets.local.exchange.market.day import TradingDay
from polygon_assets.local.exchange.market.noise import Ints

_TICKERS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Totals:
    """Per ticker: sums of a day up to a minute.

    `official_open` is in cents, 0 before the first regular trade.
    """

    volume: Ints
    notional: Ints
    official_open: Ints

    def after(self, bars: Bars, regular: bool) -> "Totals":
        """The totals after these bars, the day's next minute; `regular`: it is in regular hours."""
        volume, notional, official_open = (
            self.volume.copy(),
            self.notional.copy(),
            self.official_open.copy(),
        )
        np.add.at(volume, bars.ticker, bars.volume)
        np.add.at(notional, bars.ticker, bars.notional)
        tickers, first = np.unique(bars.ticker, return_index=True)
        if regular:
            official_open[tickers] = np.where(
                official_open[tickers] == 0, bars.open[first], official_open[tickers]
            )
        return Totals(volume, notional, official_open)


def totals_before(day: TradingDay, patterns: Patterns, minute: int) -> Totals:
    """Totals of every ticker before `minute` of the day."""
    size = len(day.keys)
    volume, notional = np.zeros(size, np.int64), np.zeros(size, np.int64)
    first = np.full(size, day.minutes, np.int64)
    for start in range(0, size, _TICKERS_AT_ONCE):
        tickers = np.arange(start, min(size, start + _TICKERS_AT_ONCE))
        cells = day.grid(tickers, 0, minute)
        volume[tickers], notional[tickers] = cells.volume.sum(axis=1), cells.notional.sum(axis=1)
        regular = cells.between(day.regular.start, minute).traded
        np.minimum.at(first, regular.ticker, regular.minute)
    return Totals(volume, notional, _official_opens(day, patterns, first))


def _official_opens(day: TradingDay, patterns: Patterns, first: Ints) -> Ints:
    """The open of the first bar in each ticker's first regular minute with trades."""
    traded = np.flatnonzero(first < day.minutes)
    opens = np.zeros(len(first), np.int64)
    bars = cut(day.cells(traded, first[traded]), patterns)
    tickers, place = np.unique(bars.ticker, return_index=True)
    opens[tickers] = bars.open[place]
    return opens
