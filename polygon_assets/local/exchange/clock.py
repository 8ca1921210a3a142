"""The exchange clock: wall time, or a past session that runs faster.

It alone reads the machine's clock; everything else is given a time.
"""

import datetime as dt
import time
from dataclasses import dataclass

from polygon_assets.market_calendar import MarketCalendar, Session


@dataclass(frozen=True)
class Clock:
    """Exchange time in Unix seconds: `speed` times as fast as the wall since `wall_start`."""

    wall_start: float
    exchange_start: float
    speed: float = 1.0

    def now(self) -> float:
        return self.exchange_start + (time.time() - self.wall_start) * self.speed

    def wall_seconds_until(self, moment: float) -> float:
        return (moment - self.now()) / self.speed


class OneSessionCalendar(MarketCalendar):
    """A calendar without future: a replayed exchange stays closed after its session."""

    def __init__(self, name: str, last: dt.date) -> None:
        super().__init__(name)
        self.last = last

    def session(self, day: dt.date) -> Session | None:
        return super().session(day) if day <= self.last else None
