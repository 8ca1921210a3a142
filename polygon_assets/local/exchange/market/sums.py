"""Sums smaller bars to larger ones: windows of seconds, minutes and days, or a day of many tickers.

All numbers are whole, so that every way of summing gives exactly the same result. Add a sum here;
cutting seconds belongs to `bars`, the REST API's windows belong to `rest.aggregates`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.bars import Bars, Patterns, cut, limits
from polygon_assets.local.exchange.market.day import CENT, DOLLAR, Cells, TradingDay
from polygon_assets.local.exchange.market.noise import Floats, Ints

_TICKERS_AT_ONCE = 192
"""With fewer, the threads wait for the interpreter's lock; with more, arrays leave the cache."""
_THREADS = 2
_ABOVE_ALL = 1 << 62
"""A price above every limit."""


def vwap(notional: Ints, volume: Ints | Floats) -> Floats:
    """The VWAP in dollars, rounded to the vendor's four decimals."""
    prices: Floats = np.rint(notional / volume) / DOLLAR
    return prices


@dataclass(frozen=True, eq=False)
class Sums:
    """Bars of any width.

    `start` is in Unix seconds, `volume` in thousandths of shares, prices are in cents. After an
    adjustment for splits, volume and prices are floats; the notional never changes.
    """

    ticker: Ints
    start: Ints
    volume: Ints | Floats
    notional: Ints
    trades: Ints
    open: Ints | Floats
    high: Ints | Floats
    low: Ints | Floats
    close: Ints | Floats

    def __len__(self) -> int:
        return len(self.start)

    def where(self, chosen: NDArray[np.bool_] | slice | Ints) -> "Sums":
        return Sums(**{name: column[chosen] for name, column in vars(self).items()})

    def adjusted(self, price_factor: float | Floats) -> "Sums":
        """The bars adjusted for splits: older prices become comparable with newer ones."""
        if np.all(price_factor == 1.0):
            return self
        prices = {
            name: getattr(self, name) * price_factor for name in ("open", "high", "low", "close")
        }
        return replace(self, volume=self.volume / price_factor, **prices)

    def windows(self, start: Ints) -> "Sums":
        """One bar per (ticker, start); the rows must be ordered by both."""
        if not len(self):
            return self
        first = _changes(start, self.ticker)
        last = np.append(first[1:], len(self)) - 1
        return Sums(
            ticker=self.ticker[first],
            start=start[first],
            volume=np.add.reduceat(self.volume, first),
            notional=np.add.reduceat(self.notional, first),
            trades=np.add.reduceat(self.trades, first),
            open=self.open[first],
            high=np.maximum.reduceat(self.high, first),
            low=np.minimum.reduceat(self.low, first),
            close=self.close[last],
        )


def of_seconds(day: TradingDay, bars: Bars) -> Sums:
    """One-second bars as Sums."""
    prices = {name: getattr(bars, name) for name in ("open", "high", "low", "close")}
    return Sums(
        bars.ticker, day.start + bars.second, bars.volume, bars.notional, bars.trades, **prices
    )


def empty() -> Sums:
    return Sums(*(np.zeros(0, np.int64) for _ in Sums.__dataclass_fields__))


def concatenated(parts: list[Sums]) -> Sums:
    return (
        Sums(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in Sums.__dataclass_fields__
            )
        )
        if parts
        else empty()
    )


def whole_day(
    day: TradingDay,
    patterns: Patterns,
    tickers: Ints,
    until: int,
    before_portion: Callable[[], None] = lambda: None,
) -> Sums:
    """The day's bar up to the Unix second `until` of each ticker that traded in regular hours.

    A bar starts with the session. As at the vendor, trades outside regular hours count for volume
    and number of trades, but not for prices. Seconds are cut only from the few percent of minutes
    that can contain the open, high, low or close. `before_portion` is called before each part of
    some hundred tickers, and may wait.
    """
    portions = [
        tickers[start : start + _TICKERS_AT_ONCE]
        for start in range(0, len(tickers), _TICKERS_AT_ONCE)
    ]
    seconds = min(until, day.end) - day.start
    if seconds <= 0:
        return empty()

    def summed(portion: Ints) -> Sums:
        before_portion()
        return _portion(day, patterns, portion, seconds)

    if len(portions) == 1:
        return summed(portions[0])
    # NumPy releases the interpreter's lock while it computes, so a second core halves the time.
    with ThreadPoolExecutor(_THREADS) as pool:
        return concatenated(list(pool.map(summed, portions)))


def _portion(day: TradingDay, patterns: Patterns, tickers: Ints, seconds: int) -> Sums:
    minutes = seconds // 60
    cells = day.grid(tickers, 0, minutes)
    totals = _totals(day, tickers, cells)
    regular = cells.between(day.regular.start, min(minutes, day.regular.stop))
    extremes = _price_seconds(day, patterns, regular)
    if minutes < day.minutes:
        running = cut(day.grid(tickers, minutes, minutes + 1).traded, patterns)
        running_sums = of_seconds(day, running.where(running.second < seconds))
        totals = _ordered(concatenated([totals, running_sums]))
        if day.regular.start <= minutes < day.regular.stop:
            extremes = _ordered(concatenated([extremes, running_sums]))
    shown = extremes.windows(np.full(len(extremes), day.start))
    summed = totals.windows(np.full(len(totals), day.start))
    summed = summed.where(np.isin(summed.ticker, shown.ticker))
    return replace(shown, volume=summed.volume, notional=summed.notional, trades=summed.trades)


def _changes(*columns: Ints) -> Ints:
    """The rows in which a column differs from the row before; the first row is one of them."""
    is_change = np.zeros(len(columns[0]), np.bool_)
    is_change[:1] = True
    for column in columns:
        is_change[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_change)


def _ordered(sums: Sums) -> Sums:
    """The bars by ticker and start, which are below 2**32."""
    # One key, and a sort that merges ordered runs: a fifth of the time of np.lexsort.
    return sums.where(np.argsort((sums.ticker << 32) + sums.start, kind="stable"))


def _totals(day: TradingDay, tickers: Ints, cells: Cells) -> Sums:
    """One bar per row of a grid with exact volumes; its prices must not be used."""
    volume, notional, trades = (
        column.sum(axis=1) for column in (cells.volume, cells.notional, cells.trades)
    )
    no_price = np.zeros(len(tickers), np.int64)
    start = np.full(len(tickers), day.start)
    prices = dict.fromkeys(("open", "high", "low", "close"), no_price)
    return Sums(tickers, start, volume, notional, trades, **prices)


def _price_seconds(day: TradingDay, patterns: Patterns, cells: Cells) -> Sums:
    """The seconds that include the first, last, highest and lowest price of each row of a grid.

    The likeliest minutes are cut first, because their prices exclude most other minutes.
    """
    if not cells.bars.size:
        return empty()
    highest, lowest = limits(cells)
    # Zero where nothing was traded, so that no extreme is found there.
    traded = np.minimum(cells.bars, 1)
    highest *= traded
    deepest = np.subtract(_ABOVE_ALL, lowest, out=lowest)
    deepest *= traded
    likely = _likely(traded, highest, deepest)
    seconds = of_seconds(day, cut(cells.where(likely), patterns))
    known = seconds.windows(np.full(len(seconds), day.start))
    rows = np.flatnonzero(likely.any(axis=1))
    above, below = (np.full((len(likely), 1), _ABOVE_ALL) for _ in range(2))
    above[rows, 0], below[rows, 0] = CENT * (known.high + 1), _ABOVE_ALL - CENT * known.low
    possible = (highest >= above) | (deepest > below)
    possible &= ~likely
    return _ordered(concatenated([seconds, of_seconds(day, cut(cells.where(possible), patterns))]))


def _likely(traded: Ints, highest: Ints, deepest: Ints) -> NDArray[np.bool_]:
    """Each row's first and last minute, and those with the highest and the lowest limit."""
    rows, last = np.arange(len(traded)), traded.shape[1] - 1
    chosen = np.zeros(traded.shape, np.bool_)
    chosen[rows, traded.argmax(axis=1)] = True
    chosen[rows, last - traded[:, ::-1].argmax(axis=1)] = True
    chosen[rows, highest.argmax(axis=1)] = True
    chosen[rows, deepest.argmax(axis=1)] = True
    chosen[traded.max(axis=1) == 0] = False
    return chosen
