"""One trading day of every ticker by minute: prices at the ends, volume, number of trading seconds.

Minutes are computed first and seconds are cut from them, so totals up to any time cost one sum over
minutes. Add properties of minutes here; cutting seconds belongs to `bars`.
"""

import datetime as dt
from dataclasses import dataclass, field

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
    _by_minute: dict[int, Floats] = field(default_factory=dict, repr=False)

    def paths_by_minute(self, minutes: int) -> Floats:
        """The paths at the beginnings of a day's `minutes`, and at its end."""
        if minutes not in self._by_minute:
            step = np.arange(minutes + 1) * _PATH_STEPS // minutes
            self._by_minute[minutes] = self.paths[:, step]
        return self._by_minute[minutes]


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
    """Minutes of tickers, in arrays of one shape.

    `bars` is the number of trading seconds (0 to 60), chosen by `key`; `volume` is in thousandths
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
        price = self.opens + self.closes
        price >>= 1
        return price

    @property
    def notional(self) -> Ints:
        notional = self.price
        notional *= self.volume
        return notional

    @property
    def traded(self) -> "Cells":
        """The minutes with trades, one after another."""
        return self.where(self.bars > 0)

    def where(self, chosen: NDArray[np.bool_]) -> "Cells":
        # Positions, because taking by them costs half of what choosing by a mask costs; flat ones,
        # because those are found faster.
        return self._taken(np.unravel_index(np.flatnonzero(chosen), chosen.shape))

    def between(self, first: int, end: int) -> "Cells":
        """Of the cells of a grid: the columns from `first` to before `end`."""
        return self._taken((slice(None), slice(first, end)))

    def _taken(self, places: tuple[Ints | slice, ...]) -> "Cells":
        return Cells(**{name: column[places] for name, column in vars(self).items()})


@dataclass(frozen=True, eq=False)
class TradingDay:
    """The constants of one day, which do not depend on the minute; build it with `trading_day`."""

    session: Session
    start: int
    """Unix second of the first second."""
    minutes: int
    regular: slice
    """The minutes of regular hours."""
    keys: Uints
    level: Floats
    drift: Floats
    intensity: Floats
    shares: Floats
    volatility: Floats
    fractional: NDArray[np.bool_]
    activity: Floats
    volume: Floats
    volumes: Floats
    """Multipliers of the minutes' volumes."""
    market_path: Floats
    own_paths: Ints
    paths: Floats
    """Of each number in `own_paths` and each minute; like `market_path` with the day's end."""

    @property
    def end(self) -> int:
        """Unix second after the last second."""
        return self.start + 60 * self.minutes

    def cells(self, ticker: Ints, minute: Ints) -> Cells:
        """The given pairs of ticker and minute."""
        path = self.own_paths[ticker]
        opens, closes = (
            self._price(ticker, end, self.paths[path, end]) for end in (minute, minute + 1)
        )
        return self._cells(ticker, minute, opens, closes)

    def grid(self, tickers: Ints, first: int, end: int) -> Cells:
        """One row for each ticker, one column for each minute from `first` to before `end`."""
        minutes = np.arange(first, end + 1, dtype=np.int64)
        # A minute opens at the price at which the one before it closed.
        paths = self.paths[self.own_paths[tickers], first : end + 1]
        prices = self._price(tickers[:, None], minutes, paths)
        return self._cells(tickers[:, None], minutes[:-1], prices[:, :-1], prices[:, 1:])

    # The whole market's day has ten million cells: what follows computes in place, and combines
    # what depends on ticker or minute alone before it is spread over both.

    def _cells(self, ticker: Ints, minute: Ints, opens: Ints, closes: Ints) -> Cells:
        """The pairs of ticker and minute, which broadcast to the shape of `opens` and `closes`."""
        key = mix(self.keys[ticker] + (minute + 1).astype(np.uint64) * GOLDEN)
        bars = self._bars(ticker, minute, key)
        volume, trades = self._volume_and_trades(ticker, minute, key, bars)
        width = opens * self.volatility[ticker]
        width *= 1.5e-4
        ripple = width.astype(np.int64)
        return Cells(
            ticker=np.broadcast_to(ticker, bars.shape),
            minute=np.broadcast_to(minute, bars.shape),
            key=key,
            bars=bars,
            volume=volume,
            trades=trades,
            opens=opens,
            closes=closes,
            ripple=np.maximum(CENT // 4, ripple, out=ripple),
        )

    def _bars(self, ticker: Ints, minute: Ints, key: Uints) -> Ints:
        """The number of trading seconds: 60 at unlimited intensity, rarely one at low intensity."""
        quiet = self.intensity[ticker] * (self.activity[minute] * 0.25)
        quiet += 1.0
        quiet *= quiet
        quiet *= quiet
        chance = np.divide(-1.0, quiet, out=quiet)
        chance += 1.0
        wobble = fraction(key, 10, 8)
        wobble *= 1.2
        wobble -= 0.6
        wobble *= 1.0 - chance
        wobble += 1.0
        chance *= 60.0
        chance *= wobble
        chance += fraction(key, 18, 18)
        bars: Ints = np.minimum(60.0, chance, out=chance).astype(np.int64)
        return bars

    def _volume_and_trades(
        self, ticker: Ints, minute: Ints, key: Uints, bars: Ints
    ) -> tuple[Ints, Ints]:
        """At least two shares and two trades in each trading second."""
        drawn = self.shares[ticker] * self.volume[minute]
        drawn *= bars
        drawn *= self.volumes[bits(key, 36, 10)]
        np.floor(drawn, out=drawn)
        least = bars << 1
        volume = drawn.astype(np.int64)
        volume += least
        volume *= SHARE
        fractional = np.flatnonzero(self.fractional[ticker] & (bars > 0))
        part = bits(key.ravel()[fractional], 46, 10)
        volume.ravel()[fractional] += (part & 1) * (1 + part % (SHARE - 1))
        size = bits(key, 56, 6)
        size += 40
        # Exact, because the shares are far fewer than 2**52.
        trades = np.divide(drawn, size, out=drawn).astype(np.int64)
        trades += least
        return volume, trades

    def _price(self, ticker: Ints, minute: Ints, path: Floats) -> Ints:
        """The price where a ticker's own path is at `path`."""
        price = path * self.volatility[ticker]
        price += self.market_path[minute]
        price += 1.0
        level = self.drift[ticker] * (minute / self.minutes)
        level += self.level[ticker]
        price *= level
        np.rint(price, out=price)
        return np.maximum(_LOWEST_PRICE, price, out=price).astype(np.int64)


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
    minutes = (end - start) // 60
    paths = tables.paths_by_minute(minutes)
    opened, closed = (
        (int(moment.timestamp()) - start) // 60
        for moment in (session.regular_open, session.regular_close)
    )
    by_minute = shape.activity(session)
    by_minute[: max(0, (int(begins.timestamp()) - start) // 60)] = 0.0
    factor = splits.levels(session.day) * universe.price_cents * CENT
    level, close = (factor * _level(universe, ordinal + offset) for offset in (0, 1))
    return TradingDay(
        session=session,
        start=start,
        minutes=minutes,
        regular=slice(opened, closed),
        keys=keys,
        level=level,
        drift=close - level,
        intensity=universe.intensity * activity * universe.trading(ordinal),
        shares=universe.shares_per_bar,
        volatility=universe.volatility,
        fractional=fraction(hashed(universe.seed, 5, universe.keys), 0, 32) < fraction_rate,
        activity=by_minute,
        volume=shape.volume(session),
        volumes=tables.volumes,
        market_path=paths[_path(universe.seed, session.day)] * 0.6,
        own_paths=bits(hashed(universe.seed, 6, universe.keys, ordinal), 0, 8),
        paths=paths,
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
