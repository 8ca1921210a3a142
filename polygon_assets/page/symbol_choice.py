"""What a visitor looks at in the view of one symbol, and how it stands in the page's address.

Add a choice here; its widget belongs to `symbol_view`, what is loaded for it to `symbol_history`.
"""

import datetime as dt
import re
from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import panel as pn

from polygon_assets import market
from polygon_assets.market_calendar import MarketCalendar, Session

WIDTHS = {"1 s": "1s", "10 s": "10s", "1 min": "1m", "1 day": "1d"}
DEFAULT_WIDTH = "10 s"
RECENT, HOUR, DAY = "recent", "1 hour", "day"
SPANS = [RECENT, HOUR, DAY]
"""What is visible at first: some bars, an hour, or the trading day so far."""
RECENT_BARS = 116
YEARS = range(1990, 2100)


@dataclass(frozen=True)
class Chosen:
    """Symbol, width of a candle, what is visible at first, and maybe a past moment.

    Closes are shown as they were known at that moment.
    """

    symbol: str
    every: str
    at: dt.datetime | None = None
    span: str = RECENT

    @property
    def label(self) -> str:
        """The width as a button shows it."""
        return next(label for label, every in WIDTHS.items() if every == self.every)

    @property
    def is_of_days(self) -> bool:
        return self.every not in market.EVERY

    @property
    def seconds(self) -> int:
        return market.EVERY.get(self.every, 24 * 3600)

    @property
    def width(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.seconds)

    def window(self, calendar: MarketCalendar, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """Begin and end of what is visible at first; `now` is the market time.

        The day is the newest one that has begun, as far as it has come. Raises
        CalendarHorizonError.
        """
        end = now
        if self.at:
            end = min(end, self.at + RECENT_BARS // 4 * self.width)
        if self.is_of_days or self.span == RECENT:
            return end - RECENT_BARS * self.width, end
        if self.span == HOUR:
            return end - dt.timedelta(hours=1), end
        session = _session_before(calendar, self.at or end)
        return session.extended_open, min(end, session.extended_close)


def _session_before(calendar: MarketCalendar, moment: dt.datetime) -> Session:
    """The newest session that had begun."""
    session = calendar.session(calendar.day_of(moment))
    if session and session.extended_open < moment:
        return session
    earlier = calendar.session(calendar.previous_day(calendar.day_of(moment)))
    assert earlier is not None
    return earlier


def in_address(symbol: str) -> Chosen:
    """What the address asks for (`?width=…&span=…&at=…`); the defaults where it does not."""
    parameters = _parameters()
    every = WIDTHS.get(parameters["width"], WIDTHS[DEFAULT_WIDTH])
    span = parameters["span"] if parameters["span"] in SPANS else RECENT
    return Chosen(symbol, every, moment_in(parameters["at"]), span)


def show_in_address(chosen: Chosen) -> None:
    """Put what is chosen into the address, so that it can be sent to somebody else."""
    if pn.state.location:
        at = chosen.at.isoformat() if chosen.at else ""
        query = _parameters() | {"width": chosen.label, "span": chosen.span, "at": at}
        shown = {name: text for name, text in query.items() if text}
        pn.state.location.search = f"?{urlencode(shown)}"


def _parameters() -> defaultdict[str, str]:
    """The parameters of the address; empty where it has none."""
    query = pn.state.location.search if pn.state.location else ""
    return defaultdict(str, parse_qsl(str(query).removeprefix("?")))


def moment_in(text: str) -> dt.datetime | None:
    """The moment of a text in ISO 8601, UTC without a zone; None for anything else.

    None also for years in which there was no stream.
    """
    try:
        # A plus in an address is decoded to a space, and not everybody writes %2B.
        moment = dt.datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text))
        moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC)
        return moment if moment.year in YEARS else None
    except (ValueError, OverflowError):
        return None
