"""Stock splits: the ticker, the day and the ratio of each split, and its effect on prices.

Add rules about splits here; the price path that they scale belongs to `day`.
"""

import datetime as dt
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from polygon_assets.local.exchange.market.noise import Floats, hashed
from polygon_assets.local.exchange.market.universe import Universe
from polygon_assets.market_calendar import ONE_DAY, MarketCalendar

FIRST_MONTH = (2012, 1)
_MONTHS = 12 * 18
# The prices of well_known.csv are those of this day; splits scale them before and after it.
ANCHOR = dt.date(2026, 11, 2)
_FORWARD = ((1, 2), (1, 3), (2, 3), (1, 4), (4, 5))
_REVERSE = ((2, 1), (4, 1), (5, 1), (10, 1))


@dataclass(frozen=True)
class Split:
    """`split_from` old shares become `split_to` new ones before `execution_date`'s pre-market."""

    number: int
    ticker: str
    execution_date: dt.date
    split_from: int
    split_to: int
    identifier: str = ""

    @property
    def price_factor(self) -> float:
        """The factor that makes an older price comparable with newer ones."""
        return self.split_from / self.split_to

    @property
    def adjustment_type(self) -> str:
        return "forward_split" if self.split_to > self.split_from else "reverse_split"


@dataclass(frozen=True, eq=False)
class Splits:
    """Every split of the universe from 2012 to 2029, oldest first, including unannounced ones."""

    universe: Universe
    calendar: MarketCalendar

    @cached_property
    def all(self) -> list[Split]:
        return sorted(self._generate(), key=lambda split: (split.execution_date, split.ticker))

    @cached_property
    def by_ticker(self) -> dict[str, list[Split]]:
        grouped: dict[str, list[Split]] = {}
        for split in self.all:
            grouped.setdefault(split.ticker, []).append(split)
        return grouped

    def price_factor(self, ticker: str, day: dt.date, until: dt.date) -> float:
        """The factor from prices of `day` to prices of `until`: the splits executed in between."""
        factor = 1.0
        for split in self.by_ticker.get(ticker, ()):
            if day < split.execution_date <= until:
                factor *= split.price_factor
        return factor

    def levels(self, day: dt.date) -> Floats:
        """Per ticker: the unadjusted price level of `day` relative to the anchor's level."""
        factors = np.ones(len(self.universe))
        for split in self.all:
            if day < split.execution_date <= ANCHOR:
                factors[split.number] /= split.price_factor
            elif ANCHOR < split.execution_date <= day:
                factors[split.number] *= split.price_factor
        return factors

    def _generate(self) -> list[Split]:
        """All splits, at least two per month and evenly spread, so that the last month has some."""
        per_month = max(2, len(self.universe) // 300)
        count = _MONTHS * per_month
        keys = hashed(self.universe.seed, 3, np.arange(count)).tolist()
        drawn = [self._split(place, per_month, key) for place, key in enumerate(keys)]
        listed, delisted = self.universe.listed, self.universe.delisted
        kept = [
            split
            for split in drawn
            if listed[split.number] < split.execution_date.toordinal() < delisted[split.number]
        ]
        # Hashed together: one at a time, they would cost three times as much as everything else.
        numbers = np.array([split.number for split in kept], np.int64)
        days = np.array([split.execution_date.toordinal() for split in kept], np.int64)
        identifiers = hashed(numbers, days).tolist()
        return [
            replace(split, identifier=f"E{key:016x}")
            for split, key in zip(kept, identifiers, strict=True)
        ]

    def _split(self, count: int, per_month: int, key: int) -> Split:
        month, place = divmod(count, per_month)
        number = _permuted(count % len(self.universe), len(self.universe), self.universe.seed)
        cheap = self.universe.price_cents[number] < 1_500
        # A ticker's next split is of the opposite kind, so that prices stay in a plausible range.
        ratios = _REVERSE if cheap != bool(count // len(self.universe) % 2) else _FORWARD
        split_from, split_to = ratios[key % len(ratios)]
        start = dt.date(FIRST_MONTH[0] + month // 12, 1 + month % 12, 1)
        day = start + dt.timedelta(days=(28 * place + (key >> 8) % 28) // per_month)
        return Split(
            number, self.universe.symbols[number], self._trading_day(day), split_from, split_to
        )

    def _trading_day(self, day: dt.date) -> dt.date:
        while self.calendar.session(day) is None:
            day += ONE_DAY
        return day


def _permuted(position: int, size: int, seed: int) -> int:
    """A fixed shuffle of 0..size-1: a step coprime to the size visits each number once."""
    step = size // 2 + seed % 97 + 1
    while np.gcd(step, size) != 1:
        step += 1
    return (position * step + seed) % size
