"""The exchange clock: wall time, or the time of a replayed session.

Add rules about exchange time here; wall time for faults and rate limits belongs to their modules.
"""

import datetime as dt
import math
import time
from dataclasses import dataclass

from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.market_clock import WALL_CLOCK, MarketClock

AFTER_REPLAY_SECONDS = 1_200
"""A replay's clock stops this long after the session, when all late corrections have been sent."""

SLACK_SECONDS = 1.0
"""Wall seconds that a feed may lag: one minute takes tenths of a second, then 59 s are ready."""


@dataclass(eq=False)
class Clock:
    """Exchange time in Unix seconds, at `speed` relative to the wall clock, at most `last`."""

    wall_start: float
    exchange_start: float
    speed: float = 1.0
    last: float = math.inf

    @property
    def first_second(self) -> int:
        """The first second whose events are sent: a replay's beginning; 0, no limit, otherwise."""
        return 0

    def now(self) -> float:
        return min(self.last, self.exchange_start + (time.time() - self.wall_start) * self.speed)

    def wall_seconds_until(self, moment: float) -> float:
        """Wall seconds until an exchange time; infinite if the clock stops before that time."""
        return math.inf if moment > self.last else (moment - self.now()) / self.speed

    def start(self) -> None:
        """Called when a client subscribes; this clock always runs."""

    def hold(self, feed: object, moment: float) -> None:
        """Called when a feed starts to send the events due at `moment`; this clock never waits."""

    def release(self, feed: object) -> None:
        """Called when the feed has sent these events."""

    def describe(self) -> MarketClock:
        return WALL_CLOCK


class ReplayClock(Clock):
    """The clock of a replayed day: stands still until `start`, never runs ahead of the feeds.

    Before `start`, the market would open without a client. Ahead of the feeds, a machine too slow
    for the requested speed would close the day before its last seconds are sent.
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
        """Let time go on; after a long lag, time continues from `moment` without catching up."""
        moment, wall = self._held.pop(feed, math.inf), time.time()
        if self._ideal(wall) - moment > SLACK_SECONDS * self.speed:
            self._anchors.append((wall, moment))

    def describe(self) -> MarketClock:
        return MarketClock(self.speed, self.exchange_start, self.last, tuple(self._anchors))

    def _ideal(self, wall: float) -> float:
        """The exchange time if no feed were behind."""
        if not self._anchors:
            return self.exchange_start
        wall_anchor, market_anchor = self._anchors[-1]
        return market_anchor + (wall - wall_anchor) * self.speed


class ReplayCalendar(MarketCalendar):
    """A calendar without a running session after the replayed day; later days are still listed."""

    def __init__(self, name: str, last: dt.date) -> None:
        super().__init__(name)
        self.last = last

    def session_at(self, now: dt.datetime) -> Session | None:
        session = super().session_at(now)
        return session if session and session.day <= self.last else None
