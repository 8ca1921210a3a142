"""Compares our calendar with the closures and early closes that the vendor announces.

Add a rule of this comparison here; requesting the announcements belongs to `clients.polygon`.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from polygon_assets.market_calendar import NEW_YORK, ONE_DAY, CalendarHorizonError, MarketCalendar

EXCHANGES = frozenset({"NYSE", "NASDAQ"})
"""US stocks trade in the hours of these two; the OTC market follows them."""


def differences(calendar: MarketCalendar, announced: Sequence[Any], today: dt.date) -> list[str]:
    """A sentence for each disagreement, from today to the last announced day.

    Today is judged only where the vendor announces it: its list may begin tomorrow. A list without
    any day of these exchanges is a disagreement too, because a year has ten holidays.

    `announced` is the list of /v1/marketstatus/upcoming: date, exchange, status (`closed`,
    `early-close`), and the times of an early close in UTC. Unreadable entries get a sentence too.
    """
    closes: dict[dt.date, dt.time | None] = {}
    sentences: list[str] = []
    for entry in announced:
        try:
            if entry["exchange"] not in EXCHANGES:
                continue
            day, close = dt.date.fromisoformat(entry["date"]), _close(entry)
            calendar.session(day)
        except (KeyError, TypeError, ValueError, CalendarHorizonError) as error:
            sentences.append(f"the vendor's entry cannot be read ({error!r}): {entry}")
            continue
        if closes.setdefault(day, close) != close:
            sentences.append(
                f"{day}: the vendor announces {_hours(closes[day])} for one exchange and "
                f"{_hours(close)} for another"
            )
    if not closes and not sentences:
        sentences.append(
            f"the vendor announces no day of {' or '.join(sorted(EXCHANGES))} "
            f"({len(announced)} entries): the calendar cannot be compared"
        )
    day = today if today in closes else today + ONE_DAY
    while closes and day <= max(closes):
        if (sentence := _difference(calendar, day, closes)) is not None:
            sentences.append(sentence)
        day += ONE_DAY
    return sentences


def _close(entry: Any) -> dt.time | None:
    """The regular close in New York; None for a closed day."""
    if entry["status"] == "closed":
        return None
    if entry["status"] != "early-close":
        raise ValueError(f"status {entry['status']!r}")
    close = dt.datetime.fromisoformat(entry["close"])
    if close.tzinfo is None:
        raise ValueError(f"close {entry['close']!r} has no time zone")
    return close.astimezone(NEW_YORK).time()


def _difference(
    calendar: MarketCalendar, day: dt.date, closes: dict[dt.date, dt.time | None]
) -> str | None:
    session = calendar.session(day)
    in_calendar = session.regular_close.astimezone(NEW_YORK).time() if session else None
    usual = dt.time(16) if day.weekday() < 5 else None
    announced = closes.get(day, usual)
    if announced == in_calendar:
        return None
    return (
        f"{day}: the vendor announces {_hours(announced)}, the calendar has {_hours(in_calendar)}"
    )


def _hours(close: dt.time | None) -> str:
    return f"a close at {close:%H:%M} New York" if close else "a closed market"
