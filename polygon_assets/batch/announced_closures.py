"""Compares our calendar with the closures and early closes that the vendor announces. Asking the vendor is `clients.polygon`'s business."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from polygon_assets.market_calendar import NEW_YORK, ONE_DAY, MarketCalendar

EXCHANGES = frozenset({"NYSE", "NASDAQ"})
"""US stocks keep the hours of these two; the OTC market follows them."""


def differences(calendar: MarketCalendar, announced: Sequence[Any], today: dt.date) -> list[str]:
    """A sentence for each day on which vendor and calendar disagree, from tomorrow to the last day that the vendor announces.

    `announced` is the list of /v1/marketstatus/upcoming: date, exchange, status (`closed`, `early-close`), and the times
    of an early close in UTC. An entry that cannot be read is a sentence too.
    """
    closes: dict[dt.date, dt.time | None] = {}
    found: list[str] = []
    for entry in announced:
        try:
            if entry["exchange"] in EXCHANGES:
                closes[dt.date.fromisoformat(entry["date"])] = _close(entry)
        except (KeyError, TypeError, ValueError) as error:
            found.append(f"the vendor's entry cannot be read ({error!r}): {entry}")
    day = today + ONE_DAY
    while closes and day <= max(closes):
        if (sentence := _difference(calendar, day, closes)) is not None:
            found.append(sentence)
        day += ONE_DAY
    return found


def _close(entry: Any) -> dt.time | None:
    """The regular close in New York; None for a closed day."""
    if entry["status"] == "closed":
        return None
    if entry["status"] != "early-close":
        raise ValueError(f"status {entry['status']!r}")
    return dt.datetime.fromisoformat(entry["close"]).astimezone(NEW_YORK).time()


def _difference(
    calendar: MarketCalendar, day: dt.date, closes: dict[dt.date, dt.time | None]
) -> str | None:
    session = calendar.session(day)
    ours = session.regular_close.astimezone(NEW_YORK).time() if session else None
    theirs = closes[day] if day in closes else (dt.time(16) if day.weekday() < 5 else None)
    return (
        None
        if ours == theirs
        else f"{day}: the vendor says {_hours(theirs)}, the calendar {_hours(ours)}"
    )


def _hours(close: dt.time | None) -> str:
    return f"the market closes at {close:%H:%M} New York" if close else "the market stays closed"
