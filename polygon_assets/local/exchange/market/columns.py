"""The fields of the vendor's aggregate messages as columns, from bars and the day's totals.

Add arithmetic on whole columns here; writing JSON belongs to `stream.tape`.
"""

from dataclasses import dataclass, replace

import numpy as np

from polygon_assets.local.exchange.market.bars import Bars
from polygon_assets.local.exchange.market.day import SHARE, TradingDay
from polygon_assets.local.exchange.market.lateness import Lateness
from polygon_assets.local.exchange.market.noise import Floats, Ints
from polygon_assets.local.exchange.market.sums import vwap
from polygon_assets.local.exchange.market.totals import Totals


@dataclass(frozen=True, eq=False)
class Columns:
    """One element per message; thousandths of shares, dollars, Unix milliseconds."""

    ticker: Ints
    volume: Ints
    accumulated_volume: Ints
    vwap: Floats
    open: Floats
    close: Floats
    high: Floats
    low: Floats
    day_vwap: Floats
    average_size: Ints
    start_ms: Ints
    end_ms: Ints
    official_open: Floats
    """0 before the first regular trade."""

    def rows(self, chosen: Ints | slice) -> "Columns":
        return Columns(**{name: column[chosen] for name, column in vars(self).items()})

    def lists(self) -> list[list[float]]:
        """Every column except the ticker as Python numbers, in the order of the fields."""
        return [column.tolist() for name, column in vars(self).items() if name != "ticker"]

    def without_late(self, bars: Bars, late: Lateness) -> "Columns":
        """First versions: the same rows, before the late trades were reported."""
        missing = np.where(late.late, late.late_volume, 0)
        return replace(
            self,
            volume=self.volume - missing,
            accumulated_volume=self.accumulated_volume - missing,
            high=np.where(late.late, bars.core_high, bars.high) / 100,
            low=np.where(late.late, bars.core_low, bars.low) / 100,
            average_size=_average_size(self.volume - missing, bars.trades),
        )


def final_columns(day: TradingDay, bars: Bars, before: Totals, after: Totals) -> Columns:
    """Messages of a minute's one-second bars, given the totals before and after that minute."""
    return _second_columns(
        day,
        bars,
        accumulated_volume=before.volume[bars.ticker] + bars.minute_volume,
        accumulated_notional=before.notional[bars.ticker] + bars.minute_notional,
        official_open=after.official_open[bars.ticker],
    )


def ticker_columns(day: TradingDay, bars: Bars) -> Columns:
    """Messages of one ticker's whole day."""
    regular = np.flatnonzero(bars.second >= 60 * day.regular.start)
    official_open = np.zeros(len(bars), np.int64)
    if len(regular):
        official_open[regular[0] :] = bars.open[regular[0]]
    return _second_columns(
        day,
        bars,
        accumulated_volume=np.cumsum(bars.volume),
        accumulated_notional=np.cumsum(bars.notional),
        official_open=official_open,
    )


def _second_columns(
    day: TradingDay,
    bars: Bars,
    *,
    accumulated_volume: Ints,
    accumulated_notional: Ints,
    official_open: Ints,
) -> Columns:
    start_ms = 1000 * (day.start + bars.second)
    return Columns(
        ticker=bars.ticker,
        volume=bars.volume,
        accumulated_volume=accumulated_volume,
        vwap=vwap(bars.notional, bars.volume),
        open=bars.open / 100,
        close=bars.close / 100,
        high=bars.high / 100,
        low=bars.low / 100,
        day_vwap=vwap(accumulated_notional, accumulated_volume),
        average_size=_average_size(bars.volume, bars.trades),
        start_ms=start_ms,
        end_ms=start_ms + 1000,
        official_open=official_open / 100,
    )


def minute_columns(day: TradingDay, bars: Bars, before: Totals, after: Totals) -> Columns:
    """Messages of the minute's own bars; `bars` are all seconds of one minute, in any order."""
    bars = bars.where(np.lexsort((bars.second, bars.ticker)))
    tickers, first, count = np.unique(bars.ticker, return_index=True, return_counts=True)
    last = first + count - 1
    volume, notional = bars.minute_volume[last], bars.minute_notional[last]
    start_ms = 1000 * (day.start + bars.second[first] // 60 * 60)
    reduced = {"high": np.maximum, "low": np.minimum}
    return Columns(
        ticker=tickers,
        volume=volume,
        accumulated_volume=before.volume[tickers] + volume,
        vwap=vwap(notional, volume),
        open=bars.open[first] / 100,
        close=bars.close[last] / 100,
        **{
            name: reduce.reduceat(getattr(bars, name), first) / 100 if len(first) else first / 100
            for name, reduce in reduced.items()
        },
        day_vwap=vwap(before.notional[tickers] + notional, before.volume[tickers] + volume),
        average_size=_average_size(
            volume, np.add.reduceat(bars.trades, first) if len(first) else first
        ),
        start_ms=start_ms,
        end_ms=start_ms + 60_000,
        official_open=after.official_open[tickers] / 100,
    )


def _average_size(volume: Ints, trades: Ints) -> Ints:
    sizes: Ints = np.maximum(1, volume // (SHARE * trades))
    return sizes
