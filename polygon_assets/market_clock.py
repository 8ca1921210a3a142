"""Market time as a function of the wall clock, and the calendar of the configured market.

In production market time is the wall clock; in a replay it is the simulated exchange's clock. Add a
conversion between the two here; reading that clock over HTTP belongs to `clients.market_clock`, and
holidays and opening hours belong to `market_calendar`.
"""

import datetime as dt
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from polygon_assets.market_calendar import (
    NEW_YORK,
    Closures,
    MarketCalendar,
    Session,
    announced_closures,
)
from polygon_assets.settings import Settings


@dataclass(frozen=True)
class MarketClock:
    """Market time as a function of wall time; all numbers are Unix seconds.

    Market time is `begins` until the first anchor (wall, market). From each anchor on it runs
    `speed` times as fast as the wall clock, up to the next anchor's market time, or up to `ends`.
    """

    speed: float = 1.0
    begins: float = -math.inf
    ends: float = math.inf
    anchors: tuple[tuple[float, float], ...] = ((0.0, 0.0),)

    @property
    def is_wall(self) -> bool:
        """Whether market time is the wall clock, so that cron schedules fit the market."""
        return self == WALL_CLOCK

    def market(self, wall: dt.datetime) -> dt.datetime:
        """The market time at a moment of the wall clock."""
        return wall if self.is_wall else _utc(self.market_seconds(wall.timestamp()))

    def market_seconds(self, wall: float) -> float:
        """The market time at a moment of the wall clock, both in Unix seconds."""
        index = bisect_right(self.anchors, wall, key=lambda anchor: anchor[0]) - 1
        if index < 0:
            return self.begins
        wall_anchor, market_anchor = self.anchors[index]
        return min(market_anchor + (wall - wall_anchor) * self.speed, self._limit(index))

    def wall(self, market: dt.datetime) -> dt.datetime | None:
        """The first wall time of a moment of the market; None if the market may never reach it."""
        if self.is_wall:
            return market
        seconds = market.timestamp()
        for index, (wall_anchor, market_anchor) in enumerate(self.anchors):
            if seconds <= self._limit(index):
                return _utc(wall_anchor + max(0.0, seconds - market_anchor) / self.speed)
        return None

    def _limit(self, index: int) -> float:
        """The market time at which the stretch after an anchor ends."""
        return self.anchors[index + 1][1] if index + 1 < len(self.anchors) else self.ends

    def as_json(self) -> dict[str, Any]:
        """The clock as JSON, which `clock_of` reads."""
        return {
            "speed": self.speed,
            "begins": self.begins,
            "ends": self.ends,
            "anchors": [list(anchor) for anchor in self.anchors],
        }


WALL_CLOCK = MarketClock()
"""Production's clock."""


def clock_of(answer: Mapping[str, Any]) -> MarketClock:
    """The clock in the output of `as_json`.

    Raises KeyError, TypeError or ValueError for any other JSON.
    """
    anchors = tuple((float(wall), float(market)) for wall, market in answer["anchors"])
    return MarketClock(
        float(answer["speed"]), float(answer["begins"]), float(answer["ends"]), anchors
    )


class ReplayedCalendar(MarketCalendar):
    """A calendar in which the session of the replayed day begins when the replay begins.

    The replayed market has no earlier trade, neither in its stream nor in its daily bars. If the
    day counted as open from 04:00, a stream that begins at 15:50 could never prove it complete.
    """

    def __init__(
        self, name: str, begins: dt.datetime, closures: Closures = MappingProxyType({})
    ) -> None:
        super().__init__(name, closures)
        self._begins = begins

    def session(self, day: dt.date) -> Session | None:
        session = super().session(day)
        if session is None or day != self.day_of(self._begins):
            return session
        opens = {
            name: max(getattr(session, name), self._begins)
            for name in ("extended_open", "regular_open")
        }
        return replace(session, **opens)


def replay_begins(settings: Settings) -> dt.datetime | None:
    """The market time at which the replay begins (aware, UTC); None if nothing is replayed."""
    if not settings.market_replay:
        return None
    return (
        dt.datetime.fromisoformat(settings.market_replay)
        .replace(tzinfo=NEW_YORK)
        .astimezone(dt.UTC)
    )


def calendar_of(settings: Settings) -> MarketCalendar:
    """The calendar of the market that the settings name, with its announced closures."""
    name, closures = settings.market_calendar, announced_closures(settings)
    begins = replay_begins(settings)
    return ReplayedCalendar(name, begins, closures) if begins else MarketCalendar(name, closures)


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
