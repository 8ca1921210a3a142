"""Market time: which moment of the market belongs to a moment of the wall clock, and which session is under way on it.

Production's market time is the wall clock; where the simulated exchange replays a day, market time is its clock. How that clock is read
over HTTP belongs to `clients.market_clock`; holidays and opening hours belong to `market_calendar`.
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

    Market time stands at `begins` until the first anchor. From each anchor (wall, market) on it runs `speed` times as fast as the wall,
    and it never passes the next anchor's market time, nor `ends`.
    """

    speed: float = 1.0
    begins: float = -math.inf
    ends: float = math.inf
    anchors: tuple[tuple[float, float], ...] = ((0.0, 0.0),)

    @property
    def is_wall(self) -> bool:
        """Whether cron schedules, which tick by the wall clock, are in time for the market."""
        return self == WALL_CLOCK

    def market(self, wall: dt.datetime) -> dt.datetime:
        """The market's moment at a moment of the wall clock."""
        return wall if self.is_wall else _utc(self.market_seconds(wall.timestamp()))

    def market_seconds(self, wall: float) -> float:
        place = bisect_right(self.anchors, wall, key=lambda anchor: anchor[0]) - 1
        if place < 0:
            return self.begins
        wall_anchor, market_anchor = self.anchors[place]
        return min(market_anchor + (wall - wall_anchor) * self.speed, self._limit(place))

    def wall(self, market: dt.datetime) -> dt.datetime | None:
        """When the wall clock first showed, or will show, a moment of the market; None for one that it may never reach."""
        if self.is_wall:
            return market
        seconds = market.timestamp()
        for place, (wall_anchor, market_anchor) in enumerate(self.anchors):
            if seconds <= self._limit(place):
                return _utc(wall_anchor + max(0.0, seconds - market_anchor) / self.speed)
        return None

    def _limit(self, place: int) -> float:
        return self.anchors[place + 1][1] if place + 1 < len(self.anchors) else self.ends

    def as_json(self) -> dict[str, Any]:
        return {
            "speed": self.speed,
            "begins": self.begins,
            "ends": self.ends,
            "anchors": [list(anchor) for anchor in self.anchors],
        }


WALL_CLOCK = MarketClock()
"""Production's."""


def clock_of(answer: Mapping[str, Any]) -> MarketClock:
    """The clock that `as_json` described. Raises KeyError, TypeError or ValueError for anything else."""
    anchors = tuple((float(wall), float(market)) for wall, market in answer["anchors"])
    return MarketClock(
        float(answer["speed"]), float(answer["begins"]), float(answer["ends"]), anchors
    )


class ReplayedCalendar(MarketCalendar):
    """A calendar on which the session of the replayed day begins where the replay begins.

    The replayed market has no trade before that, in its stream or in its daily bars. A day that counted as open from 04:00 could
    never be proved complete by a stream that begins at 15:50.
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
    """The market's moment at which the replay begins (aware, UTC); None where nothing is replayed."""
    if not settings.market_replay:
        return None
    return (
        dt.datetime.fromisoformat(settings.market_replay)
        .replace(tzinfo=NEW_YORK)
        .astimezone(dt.UTC)
    )


def calendar_of(settings: Settings) -> MarketCalendar:
    """The calendar of the market that the settings lead to."""
    begins, name, closures = (
        replay_begins(settings),
        settings.market_calendar,
        announced_closures(settings),
    )
    return ReplayedCalendar(name, begins, closures) if begins else MarketCalendar(name, closures)


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
