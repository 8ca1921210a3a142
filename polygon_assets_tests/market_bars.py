"""The simulated market's bars in REST's units, as tests compare them: dollars and shares.

Add a kind of bar here; the exchange itself keeps whole numbers (`local.exchange.market.sums`).
"""

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.day import SHARE
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.market.sums import Sums, vwap

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
"""A bar in REST's units: dollars, shares, Unix milliseconds."""

Bars = NDArray[np.void]
"""Rows of BAR."""


def seconds(market: Market, symbol: str, day: dt.date) -> Bars:
    """Final one-second bars of a day, unadjusted."""
    return _table(market, market.second_sums(symbol, day))


def minutes(market: Market, symbol: str, day: dt.date) -> Bars:
    """Final one-minute bars of a day, unadjusted."""
    sums = market.second_sums(symbol, day)
    return _table(market, sums.windows(sums.start // 60 * 60))


def daily(market: Market, symbol: str, day: dt.date) -> Bars:
    """The day's bar, unadjusted, prices of regular hours: one row, or none."""
    return _table(market, market.day_sums(symbol, day))


def grouped(market: Market, day: dt.date) -> Bars:
    """The unadjusted bar of every ticker that traded in regular hours, OTC included."""
    return _table(market, market.grouped_sums(day))


def _table(market: Market, sums: Sums) -> Bars:
    symbols = market.universe.symbols
    table = np.zeros(len(sums), BAR)
    table["symbol"] = [symbols[number] for number in sums.ticker.tolist()]
    table["start_ms"] = 1000 * sums.start
    for name in ("open", "high", "low", "close"):
        table[name] = np.round(getattr(sums, name) / 100, 4)
    table["volume"] = np.round(sums.volume / SHARE, 6)
    table["vwap"] = vwap(sums.notional, sums.volume) if len(sums) else 0.0
    table["transactions"] = sums.trades
    return table
