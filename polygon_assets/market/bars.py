"""Bars of one symbol, or of every symbol on one day: open, high, low, close, volume, VWAP.

Add a width of bars here; single prices belong to `prices`.
"""

import datetime as dt
from typing import TYPE_CHECKING

from polygon_assets.market.connection import Connection, MarketError, opened, utc
from polygon_assets.market_calendar import NEW_YORK, CalendarHorizonError, Session

if TYPE_CHECKING:
    import pyarrow as pa

EVERY = {
    **{"1s": 1, "5s": 5, "10s": 10, "30s": 30},
    **{"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600},
}
"""Seconds of a bar's width. They divide an hour, so bars are aligned in every time zone."""
A_DAY = "1d"


def bars(
    symbol: str,
    start: dt.datetime,
    end: dt.datetime,
    every: str = "1s",
    *,
    connection: Connection | None = None,
) -> "pa.Table":
    """The bars of a symbol from `start` (included) to `end` (excluded), oldest first.

    Every bar is whole: the first one contains `start`, the last one begins before `end`. `every` is
    a width of EVERY or `1d`. Columns: symbol, start, open, high, low, close (dollars), volume
    (shares, exact), vwap, seconds (with a trade), seconds_from_rest (filled after a gap), revisions
    (changes of values), finality: the least settled of its seconds, provisional, revised, final or
    verified; null once the versions have expired. A bar without a trade is missing. With `1d`,
    `start` is the regular open; prices are those of regular hours, the volume is the whole day's,
    as in the vendor's daily bar. Raises MarketError.
    """
    if every not in (*EVERY, A_DAY):
        raise MarketError(f"unknown width of bars {every!r}: use {', '.join((*EVERY, A_DAY))}")
    since, until = utc(start), utc(end)
    with opened(connection) as asked:
        if every == A_DAY:
            hours = _hours(_sessions(asked, since, until))
            window = {"symbol": symbol, "from": since, "to": until, "now": asked.now()}
            return asked.read("bars_of_days", **window, **hours)
        width = EVERY[every]
        first, last = since.timestamp() // width, -(-until.timestamp() // width)
        window = {"symbol": symbol, "from": _moment(first * width), "to": _moment(last * width)}
        return asked.read("bars", **window, width=width, now=asked.now())


def day(day: dt.date, *, connection: Connection | None = None) -> "pa.Table":
    """The bar of every symbol on a trading day, as `bars` with `1d` has it; without finality.

    Columns: symbol, open, high, low, close, volume, seconds. Raises MarketError.
    """
    with opened(connection) as asked:
        session = session_of(asked, day)
        hours = {"open": session.regular_open, "close": session.regular_close}
        return asked.read("day_by_symbol", day=day, **hours)


def session_of(connection: Connection, day: dt.date) -> Session:
    """The session of a day. Raises MarketError where the market stays closed."""
    try:
        session = connection.calendar.session(day)
    except CalendarHorizonError as error:
        raise MarketError(str(error)) from error
    if session is None:
        raise MarketError(f"{day} has no session: the market stays closed")
    return session


def _sessions(connection: Connection, since: dt.datetime, until: dt.datetime) -> list[Session]:
    """The sessions whose regular open lies in the interval."""
    first, last = (moment.astimezone(NEW_YORK).date() for moment in (since, until))
    try:
        sessions = map(connection.calendar.session, connection.calendar.trading_days(first, last))
        return [each for each in sessions if each and since <= each.regular_open < until]
    except CalendarHorizonError as error:
        raise MarketError(str(error)) from error


def _hours(sessions: list[Session]) -> dict[str, list[object]]:
    return {
        "days": [session.day for session in sessions],
        "opens": [_milliseconds(session.regular_open) for session in sessions],
        "closes": [_milliseconds(session.regular_close) for session in sessions],
    }


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _milliseconds(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
