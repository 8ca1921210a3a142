"""Whether a trading day is proved complete: a pure function of what is known of the day.

Add a reason to keep a day open here; `facts` gathers what is known, and the sensor
`trading_day_closer` acts on the verdict. All moments are market time.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.messages import Gap, utc


@dataclass(frozen=True)
class Sighting:
    """A producer that ran from `since` to `at`, and then had `confirmed` of `desired` channels."""

    since: dt.datetime
    at: dt.datetime
    desired: int
    confirmed: int


@dataclass(frozen=True)
class DayFacts:
    """What is known of one trading day."""

    day: dt.date
    rows: int
    gaps: Sequence[Gap] = ()
    pending_since: Mapping[str, dt.datetime | None] = field(default_factory=dict)
    """By consumer group, when its oldest unprocessed message was received."""
    producers: Sequence[Sighting] = ()
    """Those seen soon after the open and the close, and the newest one."""


@dataclass(frozen=True)
class Verdict:
    """Whether a day is proved complete, and why it is not."""

    closed: bool
    reason: str


def day_closed(facts: DayFacts, calendar: MarketCalendar, now: dt.datetime) -> Verdict:
    """A day is closed when four things are true.

    It is settled; a producer streamed it from open to close; everything received for it is stored;
    no gap in it is open.
    """
    session = calendar.session(facts.day)
    if session is None:
        return Verdict(False, "not a trading day")
    if now < session.settled_at:
        return Verdict(False, f"corrections may come until {session.settled_at:%Y-%m-%d %H:%M} UTC")
    doubts = [
        *_coverage_doubts(facts, session),
        *_gap_doubts(facts, session),
        *_lag_doubts(facts, session),
    ]
    if doubts:
        return Verdict(False, "; ".join(doubts))
    return Verdict(True, f"{facts.rows:,} rows; session over, nothing pending, no gap open")


def _coverage_doubts(facts: DayFacts, session: Session) -> list[str]:
    """Doubts about the open and the close.

    A loss in between is in the gap ledger, because the next producer records it. Nobody records
    the time before the first producer of the day, and only the next day's first producer records
    the time after the last one, long after this day has been judged.
    """
    if not facts.rows:
        return ["no row: the day was not streamed"]
    edges = {"open": session.extended_open, "close": session.extended_close}
    doubts = [
        _edge_doubt(facts.producers, f"the {name} ({moment:%H:%M} UTC)", moment)
        for name, moment in edges.items()
    ]
    return list(filter(None, doubts))


def _edge_doubt(producers: Sequence[Sighting], name: str, moment: dt.datetime) -> str:
    """Why no producer had all its channels at that moment; empty when one had.

    The first sighting after the moment decides. A channel that stays unconfirmed never reaches the
    gap ledger, nor does a lost connection before the producer has reconnected.
    """
    around = [seen for seen in producers if seen.since <= moment <= seen.at]
    first = min(around, key=lambda seen: seen.at, default=None)
    if first is None:
        return f"no producer was up at {name}"
    if 0 < first.desired <= first.confirmed:
        return ""
    return f"{first.confirmed} of {first.desired} channels were confirmed at {name}"


def _gap_doubts(facts: DayFacts, session: Session) -> list[str]:
    # Compared as numbers: a nonsense stamp in one gap must not keep every day from being judged.
    opening, closing = (
        moment.timestamp() * 1000 for moment in (session.extended_open, session.extended_close)
    )
    within = [gap for gap in facts.gaps if gap.since < closing and gap.until > opening]
    if not within:
        return []
    first = utc(int(max(within[0].since, opening)))
    reason = within[0].reason
    return [f"{len(within)} open gap(s), the first at {first:%H:%M:%S} UTC ({reason})"]


def _lag_doubts(facts: DayFacts, session: Session) -> list[str]:
    # In a market that never closes the lag is never 0: only messages of this day count.
    return [
        f"{group} has not processed what was received at {since:%Y-%m-%d %H:%M:%S} UTC"
        for group, since in facts.pending_since.items()
        if since is not None and since < session.settled_at
    ]
