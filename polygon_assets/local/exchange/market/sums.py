"""Bigger bars from smaller ones: windows of seconds, minutes and days, and the day of many tickers at once.

Everything is whole numbers, so that every way of adding up gives the same result to the last digit.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.bars import Bars, Patterns, cut, limits
from polygon_assets.local.exchange.market.day import CENT, DOLLAR, SHARE, Cells, TradingDay
from polygon_assets.local.exchange.market.noise import Floats, Ints

_TICKERS_AT_ONCE = 128
_THREADS = 2

BAR = np.dtype(
    [
        ("symbol", "U10"),
        ("start_ms", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("vwap", "f8"),
        ("transactions", "i8"),
    ]
)
"""A bar as REST gives it: dollars, shares, Unix milliseconds."""


def vwap(notional: Ints, volume: Ints | Floats) -> Floats:
    """Dollars, rounded to the four decimals the vendor gives."""
    prices: Floats = np.rint(notional / volume) / DOLLAR
    return prices


@dataclass(frozen=True, eq=False)
class Sums:
    """Bars of any width. `start` in Unix seconds, `volume` in thousandths of shares, prices in cents.

    Adjusted for splits, volume and prices are floats; the notional never changes.
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
        """Multiplied so that prices from before a split compare with prices from after it."""
        if np.all(price_factor == 1.0):
            return self
        prices = {
            name: getattr(self, name) * price_factor for name in ("open", "high", "low", "close")
        }
        return replace(self, volume=self.volume / price_factor, **prices)

    def windows(self, start: Ints) -> "Sums":
        """One bar for each run of equal (ticker, start); the rows must be ordered by both."""
        if not len(self):
            return self
        first = np.flatnonzero(
            np.diff(start, prepend=start[0] - 1) | np.diff(self.ticker, prepend=-1)
        )
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

    def table(self, symbols: list[str]) -> NDArray[np.void]:
        """Rows of BAR."""
        table = np.zeros(len(self), BAR)
        table["symbol"] = [symbols[number] for number in self.ticker.tolist()]
        table["start_ms"] = 1000 * self.start
        for name in ("open", "high", "low", "close"):
            table[name] = np.round(getattr(self, name) / 100, 4)
        table["volume"] = np.round(self.volume / SHARE, 6)
        table["vwap"] = vwap(self.notional, self.volume) if len(self) else 0.0
        table["transactions"] = self.trades
        return table


def of_seconds(day: TradingDay, bars: Bars) -> Sums:
    """One-second bars as sums of themselves."""
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


def whole_day(day: TradingDay, patterns: Patterns, tickers: Ints, until: int) -> Sums:
    """The bar of the day, up to the Unix second `until`, of each ticker that traded in regular hours; its start is the session's.

    As the vendor does it, trades outside regular hours count for volume and number of trades, but make no price of the day.
    Seconds are cut only from minutes that can hold the open, high, low or close: some hundredths of them.
    """
    portions = [
        tickers[start : start + _TICKERS_AT_ONCE]
        for start in range(0, len(tickers), _TICKERS_AT_ONCE)
    ]
    seconds = min(until, day.end) - day.start
    if seconds <= 0:
        return empty()
    if len(portions) == 1:
        return _portion(day, patterns, portions[0], seconds)
    # NumPy leaves the interpreter's lock while it computes, so a second core takes half of the portions.
    with ThreadPoolExecutor(_THREADS) as pool:
        return concatenated(
            list(pool.map(lambda portion: _portion(day, patterns, portion, seconds), portions))
        )


def _portion(day: TradingDay, patterns: Patterns, tickers: Ints, seconds: int) -> Sums:
    minutes = seconds // 60
    cells = day.grid(tickers, 0, minutes)
    totals = _of_minutes(day, cells)
    regular = cells.where(day.is_regular(cells.minute))
    extremes = _telling_seconds(day, patterns, regular)
    if minutes < day.minutes:
        running = cut(day.grid(tickers, minutes, minutes + 1), patterns)
        running_sums = of_seconds(day, running.where(running.second < seconds))
        totals = _ordered(concatenated([totals, running_sums]))
        in_regular = day.is_regular((running_sums.start - day.start) // 60)
        extremes = _ordered(concatenated([extremes, running_sums.where(in_regular)]))
    shown = extremes.windows(np.full(len(extremes), day.start))
    totals = totals.where(np.isin(totals.ticker, shown.ticker))
    summed = totals.windows(np.full(len(totals), day.start))
    return replace(shown, volume=summed.volume, notional=summed.notional, trades=summed.trades)


def _ordered(sums: Sums) -> Sums:
    return sums.where(np.lexsort((sums.start, sums.ticker)))


def _of_minutes(day: TradingDay, cells: Cells) -> Sums:
    """Exact volumes; the prices are not looked at."""
    price = cells.price // CENT
    return Sums(
        cells.ticker,
        day.start + 60 * cells.minute,
        cells.volume,
        cells.notional,
        cells.trades,
        price,
        price,
        price,
        price,
    )


def _telling_seconds(day: TradingDay, patterns: Patterns, cells: Cells) -> Sums:
    """Seconds among which each ticker's first, last, highest and lowest price are; `cells` are ordered by ticker and minute.

    The likeliest minutes come first: what they hold rules most others out.
    """
    first = np.flatnonzero(np.diff(cells.ticker, prepend=-1))
    owner = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(cells.ticker))))
    highest, lowest = limits(cells)
    likely = _likely(first, owner, highest, lowest)
    seconds = of_seconds(day, cut(cells.where(likely), patterns))
    found = seconds.windows(np.full(len(seconds), day.start))
    open_ = ~likely & ((highest > found.high[owner]) | (lowest < found.low[owner]))
    return _ordered(concatenated([seconds, of_seconds(day, cut(cells.where(open_), patterns))]))


def _likely(first: Ints, owner: Ints, highest: Ints, lowest: Ints) -> NDArray[np.bool_]:
    """The first and the last minute of each ticker, and one that reaches highest and one that reaches lowest."""
    chosen = np.zeros(len(owner), np.bool_)
    if not len(first):
        return chosen
    chosen[first] = chosen[np.append(first[1:], len(owner)) - 1] = True
    for limit, extreme in ((highest, np.maximum), (lowest, np.minimum)):
        best = np.flatnonzero(limit == extreme.reduceat(limit, first)[owner])
        chosen[best[np.unique(owner[best], return_index=True)[1]]] = True
    return chosen
