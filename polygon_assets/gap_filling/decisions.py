"""Which gap is filled next, and which waits: pure functions of the ledger, the limits and now.

Add a reason to fill or to wait here; fetching and comparing belongs to `fill`.
"""

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from polygon_assets.market_calendar import REVISION_WINDOW, CalendarHorizonError, MarketCalendar
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WILDCARD

FINAL_AFTER = dt.timedelta(seconds=20)
"""The vendor holds a second back for 2 s, and off-exchange trades are reported within 10 s."""
VERIFY_MARGIN = dt.timedelta(minutes=1)
WAITS = "waits until a person launches fill_gaps"
MOST_PER_RUN = 20
"""Gaps of one run."""


@dataclass(frozen=True)
class Limits:
    """Above either limit a gap waits for a person."""

    seconds: float
    requests: int


@dataclass(frozen=True)
class Market:
    """By what a gap is measured: when the market is open, and how many symbols are subscribed."""

    calendar: MarketCalendar
    symbols: int


@dataclass(frozen=True)
class Need:
    """What one gap asks of the vendor."""

    symbols: int
    requests: int


def need(entry: GapEntry, market: Market) -> Need:
    """Requests for a gap: one per symbol, and one more for each further 50,000 seconds."""
    from polygon_assets.clients.polygon import MOST_BASE_BARS

    symbols = market.symbols
    if entry.channels and WILDCARD not in entry.channels:
        symbols = min(symbols, len(entry.channels))
    seconds = open_seconds(entry, market.calendar) + REVISION_WINDOW.total_seconds()
    return Need(symbols, symbols * math.ceil(seconds / MOST_BASE_BARS))


def requests_per_minute(settings: Settings) -> int:
    """How fast a gap is filled; 0 is without a limit.

    Live data go first: of a limited plan a fill takes half, because the plan's requests are counted
    together and each process paces only its own.
    """
    return settings.gap_fill_requests_per_minute or -(-settings.polygon_requests_per_minute // 2)


def duration(needed: Need, per_minute: int) -> str:
    """How long the requests of a fill take at least, for the run's log."""
    if not per_minute:
        return "as fast as the vendor answers"
    return f"at least {math.ceil(needed.requests / per_minute):,} min at {per_minute:,} a minute"


def open_seconds(entry: GapEntry, calendar: MarketCalendar) -> float:
    """How long the market was open during a gap, which may last over a night or a weekend.

    Its whole length where the calendar does not reach: a wrong stamp makes it wait for a person.
    """
    first, last = calendar.day_of(entry.since), calendar.day_of(entry.until)
    try:
        sessions = [calendar.session(day) for day in calendar.trading_days(first, last)]
    except CalendarHorizonError:
        return entry.seconds
    parts = (
        min(entry.until, session.extended_close) - max(entry.since, session.extended_open)
        for session in sessions
        if session
    )
    return sum(max(0.0, part.total_seconds()) for part in parts)


def reason_to_wait(entry: GapEntry, market: Market, limits: Limits) -> str:
    """Why a gap waits for a person; empty if it does not."""
    seconds = open_seconds(entry, market.calendar)
    if seconds > limits.seconds:
        return f"{seconds:,.0f} s long, more than GAP_FILL_MAX_SECONDS ({limits.seconds:,.0f})"
    requests = need(entry, market).requests
    if requests > limits.requests:
        return f"{requests:,} requests, more than GAP_FILL_MAX_REQUESTS ({limits.requests:,})"
    return ""


def is_due(entry: GapEntry, now: dt.datetime) -> bool:
    """Whether the seconds of a gap are final enough to be fetched; `now` is market time.

    A gap whose fill was cut off is open again. A filled one is compared once more.
    """
    if entry.state in ("open", "filling"):
        return now >= entry.until + FINAL_AFTER
    return entry.state == "filled" and now >= verify_after(entry)


def verify_after(entry: GapEntry) -> dt.datetime:
    """When no correction of the gap's seconds can come any more."""
    return entry.verify_after or entry.until + REVISION_WINDOW + VERIFY_MARGIN


def newly_waiting(entries: Iterable[GapEntry], market: Market, limits: Limits) -> list[GapEntry]:
    """Open gaps that exceed a limit and have no note yet, each with the reason as its note.

    The note also keeps a gap from being reported again.
    """
    return [
        replace(entry, note=f"{WAITS}: {reason}")
        for entry in entries
        if entry.state == "open"
        and not entry.note
        and (reason := reason_to_wait(entry, market, limits))
    ]


def next_to_fill(
    entries: Iterable[GapEntry], market: Market, limits: Limits, now: dt.datetime
) -> Sequence[GapEntry]:
    """The gaps for the next run, oldest first; those whose last try failed have a note and go last.

    A gap that a person has begun to fill (`filling`, `filled`) is finished whatever its size.
    """
    due = [
        entry
        for entry in entries
        if is_due(entry, now)
        and (entry.state != "open" or not reason_to_wait(entry, market, limits))
    ]
    return sorted(due, key=lambda entry: (bool(entry.note), entry.since))[:MOST_PER_RUN]


def fetched_together(entries: Sequence[GapEntry]) -> list[list[GapEntry]]:
    """The gaps in the order given, those that ask for the same seconds as one group.

    A fill also fetches the revision window before its gap, so ten short losses within some minutes
    would fetch the same quarter of an hour ten times. A gap whose last try failed stays alone, so
    that it holds up no other.
    """
    groups: list[list[GapEntry]] = []
    for entry in entries:
        for group in groups:
            if all(not one.note and one.is_readable for one in (group[0], entry)) and _overlap(
                spanned(group), entry
            ):
                group.append(entry)
                break
        else:
            groups.append([entry])
    return groups


def spanned(group: Sequence[GapEntry]) -> GapEntry:
    """The first gap of a group, from the earliest beginning to the latest end of all."""
    since, until = min(gap.since for gap in group), max(gap.until for gap in group)
    return replace(group[0], since=since, until=until)


def _overlap(one: GapEntry, other: GapEntry) -> bool:
    """Whether two gaps of the same channels and state are fetched with a second in common."""
    is_alike = one.channels == other.channels and one.state == other.state
    return is_alike and (
        one.since - REVISION_WINDOW < other.until and other.since - REVISION_WINDOW < one.until
    )
