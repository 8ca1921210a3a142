"""The exchange clock: wall time, or a past session that runs faster.

Exchange time comes from here alone; wall time that faults and rate limits need does not.
"""

import datetime as dt
import math
import time
from dataclasses import dataclass

from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.market_clock import WALL_CLOCK, MarketClock

AFTER_REPLAY_SECONDS = 1_200
"""A replay's clock stops this long after the session: late corrections have been sent by then."""

SLACK_SECONDS = 1.0
"""Wall seconds that a feed may be behind: drawing a minute takes some tenths of one, and the next 59 seconds are then ready."""


@dataclass(eq=False)
class Clock:
    """Exchange time in Unix seconds: `speed` times as fast as the wall since `wall_start`, and never beyond `last`."""

    wall_start: float
    exchange_start: float
    speed: float = 1.0
    last: float = math.inf

    @property
    def first_second(self) -> int:
        """No second before it is sent; the present has no such limit."""
        return 0

    def now(self) -> float:
        return min(self.last, self.exchange_start + (time.time() - self.wall_start) * self.speed)

    def wall_seconds_until(self, moment: float) -> float:
        """Infinite for a moment at which the clock has stopped."""
        return math.inf if moment > self.last else (moment - self.now()) / self.speed

    def start(self) -> None:
        """A client has subscribed; this clock runs in any case."""

    def hold(self, feed: object, moment: float) -> None:
        """A feed has begun to send what is due at `moment`; this clock waits for nobody."""

    def release(self, feed: object) -> None:
        """The feed has sent it."""

    def describe(self) -> MarketClock:
        return WALL_CLOCK


class ReplayClock(Clock):
    """The clock of a replayed day: it stands still until `start`, and never runs ahead of the feeds.

    Without the first, the market would open before anybody is there; without the second, a machine that cannot draw the market at the
    speed asked for would close the day before its last seconds are sent.
    """

    def __init__(self, begins: float, speed: float = 1.0, last: float = math.inf) -> None:
        super().__init__(math.inf, begins, speed, last)
        self._anchors: list[tuple[float, float]] = []
        self._held: dict[object, float] = {}

    @property
    def first_second(self) -> int:
        return int(self.exchange_start)

    def now(self) -> float:
        return min(self._ideal(time.time()), *self._held.values(), self.last)

    def wall_seconds_until(self, moment: float) -> float:
        return super().wall_seconds_until(moment) if self._anchors else math.inf

    def start(self) -> None:
        if not self._anchors:
            self._anchors.append((time.time(), self.exchange_start))

    def hold(self, feed: object, moment: float) -> None:
        self._held[feed] = moment

    def release(self, feed: object) -> None:
        """Go on. When the feed has fallen far behind, time goes on from where it is and makes up for nothing."""
        moment, wall = self._held.pop(feed, math.inf), time.time()
        if self._ideal(wall) - moment > SLACK_SECONDS * self.speed:
            self._anchors.append((wall, moment))

    def describe(self) -> MarketClock:
        return MarketClock(self.speed, self.exchange_start, self.last, tuple(self._anchors))

    def _ideal(self, wall: float) -> float:
        """Where the clock would be without feeds."""
        if not self._anchors:
            return self.exchange_start
        wall_anchor, market_anchor = self._anchors[-1]
        return market_anchor + (wall - wall_anchor) * self.speed


class ReplayCalendar(MarketCalendar):
    """A calendar on which nothing is ever under way after the replayed session; it still knows the days to come."""

    def __init__(self, name: str, last: dt.date) -> None:
        super().__init__(name)
        self.last = last

    def session_at(self, now: dt.datetime) -> Session | None:
        session = super().session_at(now)
        return session if session and session.day <= self.last else None
