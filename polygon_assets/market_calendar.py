"""Trading days and sessions: when US stocks trade, and whether the market is open at a moment.

The rule (weekdays 04:00 to 20:00 New York) is code; holidays, early closes and late opens are rows of
`nyse_exceptions.csv`, taken from pandas_market_calendars by `scripts/update_calendar.py`. The library itself
costs 2.5 s CPU to import, which the definitions and each stream program would pay at every start.
"""

import csv
import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
ONE_DAY = dt.timedelta(days=1)


class CalendarHorizonError(Exception):
    """A day was asked for that the exception table does not reach."""


@dataclass(frozen=True)
class Session:
    """One trading day: four aware datetimes, start included, end excluded."""

    day: dt.date
    extended_open: dt.datetime
    regular_open: dt.datetime
    regular_close: dt.datetime
    extended_close: dt.datetime

    def phase(self, now: dt.datetime) -> str:
        """`pre`, `regular`, `post`, or `closed` outside the session (terms of /v1/marketstatus)."""
        if not self.extended_open <= now < self.extended_close:
            return "closed"
        if now < self.regular_open:
            return "pre"
        return "regular" if now < self.regular_close else "post"


class MarketCalendar:
    """`NYSE`, or `24/7`: each New York day is one regular session from midnight to midnight."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._exceptions = _nyse_exceptions() if name == "NYSE" else {}

    def session(self, day: dt.date) -> Session | None:
        """The session of `day`, or None when the market stays closed."""
        if self.name == "24/7":
            start, end = _new_york(day, dt.time(0)), _new_york(day + ONE_DAY, dt.time(0))
            return Session(day, start, start, end, end)
        self._check_horizon(day)
        if day.weekday() >= 5:
            return None
        times = self._exceptions.get(day, _REGULAR_TIMES)
        return Session(day, *(_new_york(day, time) for time in times)) if times else None

    def session_at(self, now: dt.datetime) -> Session | None:
        """The session that is under way at `now`, extended hours included."""
        session = self.session(self.day_of(now))
        return session if session and session.extended_open <= now < session.extended_close else None

    def is_open(self, now: dt.datetime) -> bool:
        return self.session_at(now) is not None

    def day_of(self, now: dt.datetime) -> dt.date:
        """The New York date of a moment: the key of every daily partition."""
        return now.astimezone(NEW_YORK).date()

    def next_session(self, now: dt.datetime) -> Session:
        """The first session that opens after `now`."""
        day = self.day_of(now)
        while (session := self.session(day)) is None or session.extended_open <= now:
            day += ONE_DAY
        return session

    def previous_day(self, day: dt.date) -> dt.date:
        """The last trading day before `day`."""
        day -= ONE_DAY
        while self.session(day) is None:
            day -= ONE_DAY
        return day

    def days_before(self, day: dt.date, count: int) -> list[dt.date]:
        """The last `count` trading days before `day`, oldest first."""
        days: list[dt.date] = []
        for _ in range(count):
            day = self.previous_day(day)
            days.append(day)
        return days[::-1]

    def trading_days(self, first: dt.date, last: dt.date) -> Iterator[dt.date]:
        """Each trading day from `first` to `last`, both included."""
        for offset in range((last - first).days + 1):
            if self.session(first + dt.timedelta(days=offset)):
                yield first + dt.timedelta(days=offset)

    def holidays(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """Weekdays without a session from `first` to `last`, both included."""
        days = sorted(self._exceptions)
        between = days[bisect_left(days, first) : bisect_right(days, last)]
        return [day for day in between if not self._exceptions[day]]

    def _check_horizon(self, day: dt.date) -> None:
        first, last = min(self._exceptions), max(self._exceptions)
        if not first <= day <= last:
            raise CalendarHorizonError(f"{day} is outside the NYSE table ({first} to {last}); extend it with scripts/update_calendar.py")


_Times = tuple[dt.time, dt.time, dt.time, dt.time]
_REGULAR_TIMES: _Times = (dt.time(4), dt.time(9, 30), dt.time(16), dt.time(20))


def _new_york(day: dt.date, time: dt.time) -> dt.datetime:
    """An aware UTC moment: arithmetic on zone-aware local times ignores the change of the clocks."""
    return dt.datetime.combine(day, time, NEW_YORK).astimezone(dt.UTC)


@lru_cache(maxsize=1)
def _nyse_exceptions() -> dict[dt.date, _Times | None]:
    """Weekdays that differ from the rule; None where the market stays closed."""
    text = resources.files("polygon_assets").joinpath("nyse_exceptions.csv").read_text()
    return {dt.date.fromisoformat(row["date"]): _times(row) for row in csv.DictReader(text.splitlines())}


def _times(row: dict[str, str]) -> _Times | None:
    if not row["extended_open"]:
        return None
    pre, open_, close, post = (
        dt.time.fromisoformat(row[name]) for name in ("extended_open", "regular_open", "regular_close", "extended_close")
    )
    return pre, open_, close, post
