"""One trading day of every ticker by minute: prices at the ends, volume, number of trading seconds.

Minutes are computed first and seconds are cut from them, so totals up to any time cost one sum over
minutes. Add properties of minutes here; cutting seconds belongs to `bars`.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market import shape
from polygon_assets.local.exchange.market.noise import (
    GOLDEN,
    Floats,
    Ints,
    Uints,
    bits,
    fraction,
    hashed,
    mix,
    value_noise,
)
from polygon_assets.local.exchange.market.splits import Splits
from polygon_assets.local.exchange.market.universe import Universe
from polygon_assets.market_calendar import Session

SHARE = 1_000
"""Volumes are whole thousandths of a share: exact, and a day's notional still fits 64 bits."""
DOLLAR = 10_000
"""Prices inside a minute are whole hundredths of a cent, the resolution of the vendor's `vw`."""
CENT = DOLLAR // 100

_LOWEST_PRICE = 10 * CENT
_PATHS, _PATH_STEPS = 256, 1536
_DAILY_MOVE = 0.012
# Days per octave of the drifting price level, and the octave's amplitude.
_LEVEL_OCTAVES = ((400, 0.25), (90, 0.12), (20, 0.06), (5, 0.03), (1, 0.012))


@dataclass(frozen=True, eq=False)
class Tables:
    """Drawn once per seed: intraday price paths from 0 to 0, and volume multipliers of mean 1."""

    paths: Floats
    volumes: Floats


def draw_tables(seed: int) -> Tables:
    generator = np.random.Generator(np.random.PCG64(seed))
    walk = np.cumsum(generator.standard_normal((_PATHS, _PATH_STEPS + 1)), axis=1) / np.sqrt(
        _PATH_STEPS
    )
    walk -= walk[:, :1]
    bridge = walk - walk[:, -1:] * np.linspace(0, 1, _PATH_STEPS + 1)
    return Tables(
        paths=_DAILY_MOVE * bridge, volumes=np.exp(0.8 * generator.standard_normal(1024) - 0.32)
    )


@dataclass(frozen=True, eq=False)
class Cells:
    """Minutes with trades, one element per (ticker, minute).

    `bars` is the number of trading seconds (1 to 60), chosen by `key`; `volume` is in thousandths
    of shares; `notional` is volume times price; `trades` is a count; `opens`/`closes` are the
    path's prices at the minute's ends.
    """

    ticker: Ints
    minute: Ints
    key: Uints
    bars: Ints
    volume: Ints
    trades: Ints
    opens: Ints
    closes: Ints
    ripple: Ints
    """The largest deviation of a second's price from the path."""

    @property
    def price(self) -> Ints:
        """The minute's exact VWAP."""
        return (self.opens + self.closes) >> 1

    @property
    def notional(self) -> Ints:
        return self.volume * self.price

    def where(self, chosen: NDArray[np.bool_]) -> "Cells":
        # Positions, because taking by them costs half of what choosing by a mask costs.
        places = np.flatnonzero(chosen)
        if len(places) == len(chosen):
            return self
        return Cells(**{name: column[places] for name, column in vars(self).items()})


@dataclass(frozen=True, eq=False)
class TradingDay:
    """The constants of one day, which do not depend on the minute; build it with `trading_day`."""

    session: Session
    start: int
    """Unix second of the first second."""
    minutes: int
    first_minute: int
    """Nothing is traded before this minute."""
    first_regular_minute: int
    keys: Uints
    level: Floats
    drift: Floats
    intensity: Floats
    shares: Floats
    volatility: Floats
    fractional: NDArray[np.bool_]
    activity: Floats
    volume: Floats
    market_path: Floats
    own_paths: Ints
    tables: Tables

    @property
    def end(self) -> int:
        """Unix second after the last second."""
        return self.start + 60 * self.minutes

    def is_regular(self, minute: Ints) -> NDArray[np.bool_]:
        """Whether minutes lie in regular hours."""
        end = (int(self.session.regular_close.timestamp()) - self.start) // 60
        return (minute >= self.first_regular_minute) & (minute < end)

    def cells(self, ticker: Ints, minute: Ints) -> Cells:
        """The minutes with trades among the given (ticker, minute) pairs, in their order.

        The two are broadcast: a column of tickers and a row of minutes give all their pairs.
        """
        return self._cells(
            ticker, minute, self._price(ticker, minute), self._price(ticker, minute + 1)
        )

    def grid(self, tickers: Ints, first: int, end: int) -> Cells:
        """The minutes with trades of these tickers, from `first` to before `end`, by ticker."""
        minutes = np.arange(first, end + 1, dtype=np.int64)
        # A minute opens at the price at which the one before it closed.
        prices = self._price(tickers[:, None], minutes)
        return self._cells(tickers[:, None], minutes[:-1], prices[:, :-1], prices[:, 1:])

    def _cells(self, ticker: Ints, minute: Ints, opens: Ints, closes: Ints) -> Cells:
        """The pairs with trades; `opens` and `closes` have the shape of all pairs."""
        key = mix(self.keys[ticker] + (minute + 1).astype(np.uint64) * GOLDEN)
        bars = self._bars(ticker, minute, key)
        traded = np.flatnonzero((bars > 0) & (minute >= self.first_minute))
        ticker, minute = (
            np.broadcast_to(part, bars.shape).ravel()[traded] for part in (ticker, minute)
        )
        bars, opens, closes = (part.ravel()[traded] for part in (bars, opens, closes))
        key = key.ravel()[traded]
        volume = self._volume(ticker, minute, key, bars)
        return Cells(
            ticker=ticker,
            minute=minute,
            key=key,
            bars=bars,
            volume=volume,
            trades=2 * bars + (volume // SHARE - 2 * bars) // (40 + bits(key, 56, 6)),
            opens=opens,
            closes=closes,
            ripple=np.maximum(
                CENT // 4, (opens * self.volatility[ticker] * 1.5e-4).astype(np.int64)
            ),
        )

    def _bars(self, ticker: Ints, minute: Ints, key: Uints) -> Ints:
        """The number of trading seconds: 60 at unlimited intensity, rarely one at low intensity."""
        quiet = 1.0 + self.intensity[ticker] * self.activity[minute] * 0.25
        quiet *= quiet
        chance = 1.0 - 1.0 / (quiet * quiet)
        wobble = 1.0 + (1.0 - chance) * (1.2 * fraction(key, 10, 8) - 0.6)
        bars: Ints = np.minimum(60.0, 60.0 * chance * wobble + fraction(key, 18, 18)).astype(
            np.int64
        )
        return bars

    def _volume(self, ticker: Ints, minute: Ints, key: Uints, bars: Ints) -> Ints:
        mean = self.shares[ticker] * self.volume[minute]
        volume = 2 * bars + (bars * mean * self.tables.volumes[bits(key, 36, 10)]).astype(np.int64)
        volume *= SHARE
        fractional = np.flatnonzero(self.fractional[ticker])
        drawn = bits(key[fractional], 46, 10)
        volume[fractional] += (drawn & 1) * (1 + drawn % (SHARE - 1))
        return volume

    def _price(self, ticker: Ints, minute: Ints) -> Ints:
        step = minute * _PATH_STEPS // self.minutes
        wave = (
            self.market_path[step]
            + self.tables.paths[self.own_paths[ticker], step] * self.volatility[ticker]
        )
        level = self.level[ticker] + self.drift[ticker] * (minute / self.minutes)
        return np.maximum(_LOWEST_PRICE, np.rint(level * (1.0 + wave)).astype(np.int64))


def trading_day(
    universe: Universe,
    splits: Splits,
    tables: Tables,
    session: Session,
    begins: dt.datetime,
    *,
    activity: float,
    fraction_rate: float,
) -> TradingDay:
    """Compute the constants of `session.day`; minutes before `begins` have no trades.

    `activity` scales how often tickers trade.
    """
    ordinal = session.day.toordinal()
    start, end = shape.session_bounds(session)
    keys = hashed(universe.seed, 4, universe.keys, ordinal)
    factor = splits.levels(session.day) * universe.price_cents * CENT
    level, close = (factor * _level(universe, ordinal + offset) for offset in (0, 1))
    return TradingDay(
        session=session,
        start=start,
        minutes=(end - start) // 60,
        first_minute=(int(begins.timestamp()) - start) // 60,
        first_regular_minute=(int(session.regular_open.timestamp()) - start) // 60,
        keys=keys,
        level=level,
        drift=close - level,
        intensity=universe.intensity * activity * universe.trading(ordinal),
        shares=universe.shares_per_bar,
        volatility=universe.volatility,
        fractional=fraction(hashed(universe.seed, 5, universe.keys), 0, 32) < fraction_rate,
        activity=shape.activity(session),
        volume=shape.volume(session),
        market_path=tables.paths[_path(universe.seed, session.day)] * 0.6,
        own_paths=bits(hashed(universe.seed, 6, universe.keys, ordinal), 0, 8),
        tables=tables,
    )


def _level(universe: Universe, ordinal: int) -> Floats:
    """Per ticker: the price level of a date relative to the base level, without splits."""
    drift = np.zeros(len(universe))
    for period, amplitude in _LEVEL_OCTAVES:
        drift += amplitude * value_noise(hashed(universe.seed, 7, universe.keys), ordinal, period)
    level: Floats = np.exp(drift * universe.volatility)
    return level


def _path(seed: int, day: dt.date) -> int:
    return int(hashed(seed, 8, day.toordinal())[0] % np.uint64(_PATHS))
