"""What the view of trust shows, as columns and rows: pure functions.

Add a fact about completeness here; drawing it belongs to `timeline` and `trust_view`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polygon_assets.batch.reconciliation import Verdict
from polygon_assets.gap_filling.coverage import Interval, without
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar, Session
from polygon_assets.page.candles import COLORS, Columns, wall_ms
from polygon_assets.serving.gap_ledger import DOUBT, SETTLED, concerns, may_concern

ALL = "all channels"
BARS = ("row", "left", "right", "color", "label")
POINTS = ("minute", "rows", "p50", "p99")
DAY_MS = 86_400_000.0
RATES = ("time", "rate")
NOT_YET = dt.timedelta(seconds=15)
"""A heartbeat is stored every ten seconds: what is younger is not unknown yet."""
FIVE_MINUTES = dt.timedelta(minutes=5)
SHOWN_SILENT = 10
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Activity:
    """When the subscribed channels traded today."""

    intervals: Mapping[str, Sequence[dt.datetime]]
    """The starts of the five minutes with trades, by channel: those without a trade, then the
    busiest. With `A.*`, which names no channel, only the busiest."""
    since: Mapping[str, dt.datetime]
    """From when on each channel was subscribed without a break."""
    channels: int
    known_until: dt.datetime | None
    """What is younger may not be in the one-minute bars yet; None before their first filling."""

    @property
    def silent(self) -> list[str]:
        """The channels without a trade."""
        return [channel for channel, starts in self.intervals.items() if not starts]

    @property
    def shown(self) -> list[str]:
        """The channels that have a line: some of the silent ones, and all others."""
        left_out = set(self.silent[SHOWN_SILENT:])
        return [channel for channel in self.intervals if channel not in left_out]


def subscribed_since(sets: Rows, opened: dt.datetime) -> dict[str, dt.datetime]:
    """The channels in force now, and from when on each was in every set; `sets` oldest first."""
    since: dict[str, dt.datetime] = {}
    for accepted in sets:
        begin = max(accepted["accepted_at"], opened)
        since = {channel: since.get(channel, begin) for channel in accepted["channels"]}
    return since


def timeline(
    covered: Sequence[Interval], gaps: Rows, session: Interval, now: dt.datetime
) -> Columns:
    """The session so far by channel: streamed, gaps by their state, and what nobody recorded.

    A gap of single channels has lines of its own; every other one concerns all channels.
    """
    until = min(now, session.until)
    recorded = [Interval(gap["since"], gap["until"]) for gap in gaps if _is_of_all(gap)]
    unknown = [
        piece
        for piece in without(Interval(session.since, until), [*covered, *recorded])
        if piece.until < until or piece.length > NOT_YET
    ]
    bars: Columns = {name: [] for name in BARS}
    for part in merged(covered):
        _add(bars, ALL, part, "streamed", "streamed")
    for piece in unknown:
        _add(bars, ALL, piece, "gap", "nobody recorded this time")
    for gap in gaps:
        for row in [ALL] if _is_of_all(gap) else gap["channels"]:
            _add_gap(bars, row, gap, session)
    return bars


def channel_timeline(
    activity: Activity, covered: Sequence[Interval], gaps: Rows, session: Interval
) -> Columns:
    """A line for each channel: traded or proved quiet by five minutes, and the common gaps above.

    What is younger than the one-minute bars is left out, because nobody knows yet whether a channel
    traded, and so is the time before a channel was subscribed.
    """
    bars: Columns = {name: [] for name in BARS}
    if activity.known_until is None:
        return bars
    until = min(activity.known_until, session.until)
    proved = list(merged(covered))
    common = [gap for gap in gaps if _is_of_all(gap)]
    for channel in activity.shown:
        traded = list(merged(_five_minutes(activity.intervals[channel])))
        for part in _within(Interval(activity.since[channel], until), proved):
            quiet = list(without(part, traded))
            for piece in without(part, quiet):
                _add(bars, channel, piece, "streamed", "traded, by five minutes")
            for piece in quiet:
                _add(bars, channel, piece, "quiet", "no trade while the stream was complete")
        for gap in common:
            if concerns(gap["channels"], channel):
                _add_gap(bars, channel, gap, session)
    return bars


def _five_minutes(starts: Iterable[dt.datetime]) -> Iterator[Interval]:
    return (Interval(start, start + FIVE_MINUTES) for start in starts)


def _within(whole: Interval, parts: Iterable[Interval]) -> Iterator[Interval]:
    """The pieces of `parts` that lie in an interval."""
    for part in parts:
        piece = Interval(max(part.since, whole.since), min(part.until, whole.until))
        if piece.since < piece.until:
            yield piece


def silent_line(activity: Activity) -> str:
    """How many channels the figure shows, and which had not traded at all until when."""
    if activity.known_until is None:
        return "single channels are known after the first one-minute bars of the day"
    text = f"{len(activity.shown):,} of {activity.channels:,} channels"
    if not (silent := activity.silent):
        return text
    names = ", ".join(silent[:SHOWN_SILENT]) + (", …" if len(silent) > SHOWN_SILENT else "")
    until = f"{activity.known_until.astimezone(NEW_YORK):%H:%M}"
    return f"{text}; without a trade until {until}: {len(silent):,} ({names})"


def _is_of_all(gap: Mapping[str, Any]) -> bool:
    return not str(gap["gap_id"]).startswith(DOUBT)


def _add_gap(bars: Columns, row: str, gap: Mapping[str, Any], session: Interval) -> None:
    part = Interval(max(gap["since"], session.since), min(gap["until"], session.until))
    if part.length > dt.timedelta(0):
        _add(bars, row, part, gap["state"], f"{gap['cause']}: {gap['state']} {gap['note']}")


def _add(bars: Columns, row: str, part: Interval, state: str, label: str) -> None:
    bars["row"].append(row)
    bars["left"].append(wall_ms(part.since))
    bars["right"].append(wall_ms(part.until))
    bars["color"].append(COLORS.get(state, COLORS["gap"]))
    bars["label"].append(label.strip())


def merged(parts: Iterable[Interval]) -> Iterator[Interval]:
    """Intervals that touch or overlap, as one; `parts` oldest first."""
    open_part: Interval | None = None
    for part in parts:
        if open_part and part.since <= open_part.until:
            open_part = Interval(open_part.since, max(open_part.until, part.until))
        else:
            if open_part:
                yield open_part
            open_part = part
    if open_part:
        yield open_part


def delays(rows: Rows) -> Columns:
    """Minutes as a figure shows them; the newest one, which still fills, is left out."""
    whole = rows[:-1]
    columns: Columns = {name: [row[name] for row in whole] for name in POINTS[1:]}
    return {"minute": [wall_ms(row["minute"]) for row in whole], **columns}


def rates(rows: Rows, *, today: bool) -> Columns:
    """Rows per second by minute of one of the two days, at the time of day in New York.

    The newest minute of today, which still fills, is left out.
    """
    chosen = [row for row in rows if row["is_today"] is today]
    chosen = chosen[:-1] if today else chosen
    return {
        "time": [wall_ms(row["minute"]) % DAY_MS for row in chosen],
        "rate": [row["rows"] / 60 for row in chosen],
    }


@dataclass(frozen=True)
class Day:
    """One trading day: whether it is closed, and how its comparison with the vendor ended."""

    day: dt.date
    is_settled: bool
    """No correction is due any more, and no gap of the day is unsettled."""
    closed_at: dt.datetime | None
    matching: int
    different: Mapping[str, int]

    @property
    def state(self) -> str:
        """open, closed, reconciled or drift."""
        if not self.is_settled:
            return "open"
        if self.different:
            return "drift"
        if self.matching:
            return "reconciled"
        return "closed" if self.closed_at else "open"


def days(
    filled: Rows, compared: Rows, gaps: Rows, calendar: MarketCalendar, now: dt.datetime
) -> list[Day]:
    """All trading days with one-minute bars or a comparison, and today; newest first.

    The bars of a day are filled again and again, the last time when it is closed. All moments are
    market time.
    """
    fillings = {row["trading_day"]: row["filled_at"] for row in filled}
    verdicts: dict[dt.date, dict[str, int]] = defaultdict(dict)
    for row in compared:
        verdicts[row["trading_day"]][row["verdict"]] = row["symbols"]
    unsettled = [gap for gap in gaps if gap["state"] not in SETTLED]
    listed = sorted({calendar.day_of(now), *fillings, *verdicts}, reverse=True)
    return [
        Day(
            day,
            _is_settled(session, unsettled, now),
            _closed_at(session, fillings.get(day)),
            verdicts[day].get(Verdict.MATCH, 0),
            {name: count for name, count in verdicts[day].items() if name != Verdict.MATCH},
        )
        for day, session in ((day, calendar.session(day)) for day in listed)
        if session
    ]


def _is_settled(session: Session, unsettled: Rows, now: dt.datetime) -> bool:
    if now < session.settled_at:
        return False
    whole = (session.extended_open, session.extended_close)
    return not any(
        may_concern(gap["gap_id"], gap["since"], gap["until"], whole) for gap in unsettled
    )


def _closed_at(session: Session, filled_at: dt.datetime | None) -> dt.datetime | None:
    return filled_at if filled_at and filled_at >= session.settled_at else None
