"""Whether a trading day is proved complete: a pure function of what is known of the day.

Add a reason to keep a day open here; `facts` gathers what is known, and the sensor
`trading_day_closer` acts on the verdict. All moments are market time.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.serving.gap_ledger import GapEntry, may_concern


@dataclass(frozen=True)
class DayFacts:
    """What is known of one trading day."""

    day: dt.date
    rows: int
    gaps: Sequence[GapEntry] = ()
    """Those in which something may still be missing."""
    pending_since: Mapping[str, dt.datetime | None] = field(default_factory=dict)
    """By consumer group, when its oldest unprocessed message was received."""
    uncovered: Sequence[Interval] = ()
    """Time of the session that neither a producer covered nor the ledger records."""


@dataclass(frozen=True)
class Verdict:
    """Whether a day is proved complete, and why it is not."""

    closed: bool
    reason: str


def day_closed(facts: DayFacts, calendar: MarketCalendar, now: dt.datetime) -> Verdict:
    """A day is closed when four things are true.

    It is settled; a producer covered each moment of it, or the gap ledger has it; each of its gaps
    is verified or waived; everything received for it is stored.
    """
    session = calendar.session(facts.day)
    if session is None:
        return Verdict(False, "not a trading day")
    if now < session.settled_at:
        return Verdict(False, f"corrections may come until {session.settled_at:%Y-%m-%d %H:%M} UTC")
    doubts = [
        *_coverage_doubts(facts),
        *_gap_doubts(facts, session),
        *_lag_doubts(facts, session),
    ]
    if doubts:
        return Verdict(False, "; ".join(doubts))
    return Verdict(
        True, f"{facts.rows:,} rows; session over, nothing pending, each gap verified or waived"
    )


def _coverage_doubts(facts: DayFacts) -> list[str]:
    if not facts.rows:
        return ["no row: the day was not streamed"]
    if not facts.uncovered:
        return []
    first = facts.uncovered[0]
    return [
        f"no producer had all its channels from {first.since:%H:%M:%S} to {first.until:%H:%M:%S} "
        f"UTC, and the gap ledger does not have it yet ({len(facts.uncovered)} such interval(s))"
    ]


def _gap_doubts(facts: DayFacts, session: Session) -> list[str]:
    within = [
        gap
        for gap in facts.gaps
        if may_concern(
            gap.gap_id, gap.since, gap.until, (session.extended_open, session.extended_close)
        )
    ]
    if not within:
        return []
    first = max(within[0].since, session.extended_open)
    states = ", ".join(
        f"{count} {state}" for state, count in sorted(Counter(gap.state for gap in within).items())
    )
    return [f"gaps: {states}; the first at {first:%H:%M:%S} UTC ({within[0].cause})"]


def _lag_doubts(facts: DayFacts, session: Session) -> list[str]:
    # In a market that never closes the lag is never 0: only messages of this day count.
    return [
        f"{group} has not processed what was received at {since:%Y-%m-%d %H:%M:%S} UTC"
        for group, since in facts.pending_since.items()
        if since is not None and since < session.settled_at
    ]
