"""The exchange clock: wall time, or a past session that runs faster.

Exchange time comes from here alone; wall time that faults and rate limits need does not.
"""

import datetime as dt
import math
import time
from dataclasses import dataclass

from polygon_assets.market_calendar import MarketCalendar, Session

AFTER_REPLAY_SECONDS = 1_200
"""A replay's clock stops this long after the session: late corrections have been sent by then."""


@dataclass(frozen=True)
class Clock:
    """Exchange time in Unix seconds: `speed` times as fast as the wall since `wall_start`, and never beyond `last`."""

    wall_start: float
    exchange_start: float
    speed: float = 1.0
    last: float = math.inf

    def now(self) -> float:
        return min(self.last, self.exchange_start + (time.time() - self.wall_start) * self.speed)

    def wall_seconds_until(self, moment: float) -> float:
        """Infinite for a moment at which the clock has stopped."""
        return math.inf if moment > self.last else (moment - self.now()) / self.speed


class ReplayCalendar(MarketCalendar):
    """A calendar on which nothing is ever under way after the replayed session; it still knows the days to come."""

    def __init__(self, name: str, last: dt.date) -> None:
        super().__init__(name)
        self.last = last

    def session_at(self, now: dt.datetime) -> Session | None:
        session = super().session_at(now)
        return session if session and session.day <= self.last else None
