"""Trading days and sessions: when US stocks trade, and whether the market is open at a moment.

Add a question about days and sessions here; the moment itself, of the wall clock or of a replay,
belongs to `market_clock`. The rule (weekdays 04:00 to 20:00 New York) is code. Holidays, early
closes and late opens are rows of `nyse_exceptions.csv`, which `scripts/update_calendar.py` takes
from pandas_market_calendars: importing that library costs 2.5 s CPU, which the definitions and each
stream program would pay at every start. A closure announced at short notice is a line of
`market_closures.csv` or an entry of the setting MARKET_CLOSURES.
"""

import csv
import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from zoneinfo import ZoneInfo

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings, SettingsError

NEW_YORK = ZoneInfo("America/New_York")
ONE_DAY = dt.timedelta(days=1)
CLOSURES = resources.files("polygon_assets") / "market_closures.csv"
REVISION_WINDOW = dt.timedelta(minutes=15)
"""The vendor re-broadcasts corrected seconds for this long after the original."""
POST_MARKET = dt.timedelta(hours=4)
"""The post-market's length after an early close: until 17:00 after a close at 13:00."""
ADD_A_DAY = (
    "if the market was closed on that day or closed early, add the day to MARKET_CLOSURES "
    "(`2026-12-10` for a closed day, `2026-12-11 13:00` for an early close) "
    "or to polygon_assets/market_closures.csv"
)
"""The cure in messages about a trading day that has no trades."""


class CalendarHorizonError(PolygonAssetsError):
    """A requested day is outside the table of exceptions."""


@dataclass(frozen=True)
class Session:
    """One trading day: four aware datetimes, start included, end excluded."""

    day: dt.date
    extended_open: dt.datetime
    regular_open: dt.datetime
    regular_close: dt.datetime
    extended_close: dt.datetime

    @property
    def settled_at(self) -> dt.datetime:
        """The moment from which the vendor sends nothing more of this day."""
        return self.extended_close + REVISION_WINDOW

    def phase(self, now: dt.datetime) -> str:
        """`pre`, `regular`, `post`, or `closed` outside the session (terms of /v1/marketstatus)."""
        if not self.extended_open <= now < self.extended_close:
            return "closed"
        if now < self.regular_open:
            return "pre"
        return "regular" if now < self.regular_close else "post"


class MarketCalendar:
    """The calendar `NYSE`, or `24/7`, where each New York day is one regular session."""

    def __init__(
        self, name: str, changes: Mapping[dt.date, "_Times | None"] = MappingProxyType({})
    ) -> None:
        """`changes` are days that differ from the NYSE's table; `24/7` ignores them."""
        self.name = name
        table = _nyse_exceptions()
        self._horizon = min(table), max(table)
        self._exceptions = {**table, **changes} if name == "NYSE" else {}

    def session(self, day: dt.date) -> Session | None:
        """The session of `day`, or None if the market is closed all day."""
        if self.name == "24/7":
            start, end = _new_york(day, dt.time(0)), _new_york(day + ONE_DAY, dt.time(0))
            return Session(day, start, start, end, end)
        self._check_horizon(day)
        if day.weekday() >= 5:
            return None
        times = self._exceptions.get(day, _REGULAR_TIMES)
        return Session(day, *(_new_york(day, time) for time in times)) if times else None

    def session_at(self, now: dt.datetime) -> Session | None:
        """The session in progress at `now`, extended hours included."""
        session = self.session(self.day_of(now))
        return (
            session if session and session.extended_open <= now < session.extended_close else None
        )

    def is_open(self, now: dt.datetime) -> bool:
        return self.session_at(now) is not None

    def day_of(self, now: dt.datetime) -> dt.date:
        """The New York date of a moment, which is the key of every daily partition."""
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

    def is_settled(self, day: dt.date, now: dt.datetime) -> bool:
        """Whether the vendor sends nothing more of `day`; False for a day without a session."""
        session = self.session(day)
        return session is not None and now >= session.settled_at

    def newest_settled_day(self, now: dt.datetime) -> dt.date:
        """The last trading day that is settled."""
        day = self.day_of(now)
        while not self.is_settled(day, now):
            day = self.previous_day(day)
        return day

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
        # Of the table alone: an announced closure says nothing of the holidays before it.
        first, last = self._horizon
        if not first <= day <= last:
            raise CalendarHorizonError(
                f"{day} is outside the NYSE table ({first} to {last}); "
                "extend it with scripts/update_calendar.py"
            )


_Times = tuple[dt.time, dt.time, dt.time, dt.time]
_REGULAR_TIMES: _Times = (dt.time(4), dt.time(9, 30), dt.time(16), dt.time(20))


Closures = Mapping[dt.date, _Times | None]


def announced_closures(settings: Settings) -> Closures:
    """Days that differ from the NYSE's table: from the file and from MARKET_CLOSURES, which wins.

    Raises SettingsError.
    """
    return _file_closures() | _setting_closures(settings.market_closures)


def _new_york(day: dt.date, time: dt.time) -> dt.datetime:
    """A New York time in UTC; arithmetic on local times would ignore the change of the clocks."""
    return dt.datetime.combine(day, time, NEW_YORK).astimezone(dt.UTC)


@lru_cache(maxsize=1)
def _nyse_exceptions() -> dict[dt.date, _Times | None]:
    """Weekdays that differ from the rule; None for a day without a session."""
    text = resources.files("polygon_assets").joinpath("nyse_exceptions.csv").read_text()
    return {
        dt.date.fromisoformat(row["date"]): _times(row) for row in csv.DictReader(text.splitlines())
    }


def _times(row: dict[str, str]) -> _Times | None:
    if not row["extended_open"]:
        return None
    pre, open_, close, post = (
        dt.time.fromisoformat(row[name])
        for name in ("extended_open", "regular_open", "regular_close", "extended_close")
    )
    return pre, open_, close, post


def _file_closures() -> dict[dt.date, _Times | None]:
    rows = csv.reader(CLOSURES.read_text().splitlines())
    next(rows)
    records = [(f"{CLOSURES.name}, line {rows.line_num}", row) for row in rows if any(row)]
    return dict(_closure(place, row[0], row[1] if len(row) > 1 else "") for place, row in records)


def _setting_closures(closures: str) -> dict[dt.date, _Times | None]:
    days = filter(None, map(str.strip, closures.split(";")))
    return dict(_closure("MARKET_CLOSURES", *day.partition(" ")[::2]) for day in days)


def _closure(place: str, day: str, close: str) -> tuple[dt.date, _Times | None]:
    """A day and its times, or None for a closed day.

    Raises SettingsError, which names the place, the value and the cure.
    """
    pre, open_, usual_close, _ = _REGULAR_TIMES
    try:
        date = dt.date.fromisoformat(day.strip())
        regular_close = dt.time.fromisoformat(close.strip()) if close.strip() else None
    except ValueError as error:
        raise SettingsError(f"{place}: {day} {close}: {error}; write {_CLOSURE_FORMAT}") from None
    if regular_close is None:
        return date, None
    if regular_close.tzinfo or not open_ < regular_close <= usual_close:
        raise SettingsError(
            f"{place}: {day} {close}: an early close is between 09:30 and 16:00 New York; "
            f"write {_CLOSURE_FORMAT}"
        )
    extended_close = (dt.datetime.combine(date, regular_close) + POST_MARKET).time()
    return date, (pre, open_, regular_close, extended_close)


_CLOSURE_FORMAT = (
    "YYYY-MM-DD for a closed day and YYYY-MM-DD HH:MM for an early close, separated by semicolons"
)
