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
from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.page.candles import COLORS, Columns, wall_ms
from polygon_assets.serving.gap_ledger import SETTLED, is_of_the_connection, may_concern

ALL = "all channels"
BARS = ("row", "left", "right", "color", "label")
POINTS = ("minute", "rows", "p50", "p99")
DAY_MS = 86_400_000.0
RATES = ("time", "rate")
NOT_YET = dt.timedelta(seconds=15)
"""A heartbeat is stored every ten seconds: what is younger is not unknown yet."""
Rows = Sequence[Mapping[str, Any]]


def timeline(
    covered: Sequence[Interval], gaps: Rows, session: Interval, now: dt.datetime
) -> Columns:
    """The session so far by channel: streamed, gaps by their state, and what nobody recorded.

    A gap of single channels has lines of its own; every other one concerns all channels.
    """
    until = min(now, session.until)
    recorded = [
        Interval(gap["since"], gap["until"]) for gap in gaps if is_of_the_connection(gap["gap_id"])
    ]
    unknown = [
        piece
        for piece in without(Interval(session.since, until), [*covered, *recorded])
        if piece.until < until or piece.length > NOT_YET
    ]
    bars: Columns = {name: [] for name in BARS}
    for part in merged(covered):
        add_bar(bars, ALL, part, "streamed", "streamed")
    for piece in unknown:
        add_bar(bars, ALL, piece, "gap", "no heartbeat and no ledger entry")
    for gap in gaps:
        for row in [ALL] if is_of_the_connection(gap["gap_id"]) else gap["channels"]:
            add_gap(bars, row, gap, session)
    return bars


def add_gap(bars: Columns, row: str, gap: Mapping[str, Any], session: Interval) -> None:
    """Add the part of a gap that lies in the session to a row of the timeline."""
    part = Interval(max(gap["since"], session.since), min(gap["until"], session.until))
    if part.length > dt.timedelta(0):
        add_bar(bars, row, part, gap["state"], f"{gap['cause']}: {gap['state']} {gap['note']}")


def add_bar(bars: Columns, row: str, part: Interval, state: str, label: str) -> None:
    """Add an interval in the colour of its state to a row of the timeline."""
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
