"""The panels of trust as HTML: alerts, the gap ledger, the trading days, and what was refused.

Add a column of a panel here; when it is read and shown belongs to `trust_view`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from polygon_assets.inspection.dead_letters import one_line
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.page.candles import COLORS, DOWN
from polygon_assets.page.frame import table
from polygon_assets.page.trust import Day

SHOWN_GAPS, SHOWN_DAYS = 30, 10
LAGS = ("lag", "lag_p50", "lag_p99")
DAY_COLORS = {"reconciled": COLORS["streamed"], "closed": COLORS["verified"], "drift": DOWN}
LEGEND = (
    ("streamed", "streamed"),
    ("quiet", "quiet, proved"),
    ("verified", "filled and verified"),
    ("filled", "filled, not verified yet"),
    ("gap", "gap"),
    ("waived", "waived by a person"),
)


def legend_html() -> str:
    return " &nbsp; ".join(_marked(COLORS[state], label) for state, label in LEGEND)


def _marked(color: str, label: str) -> str:
    """A label behind a square of its colour, because most colours are no readable text."""
    square = f'<span style="color:{color}" aria-hidden="true">■</span>'
    return f'<span class="whole">{square} {escape(label)}</span>'


def alerts_html(rows: Sequence[Mapping[str, Any]] | None) -> str:
    if not rows:
        return "" if rows is None else "no alert fires · "
    lines = [
        f"<li><b>{escape(row['alert'])}</b> {escape(row['subject'])} since {_time(row['since'])}: "
        f"{escape(row['detail'])}</li>"
        for row in rows
    ]
    return f'<ul class="problem" role="alert">{"".join(lines)}</ul>'


def gaps_html(rows: Sequence[Mapping[str, Any]], dagster_url: str) -> str:
    if not rows:
        return "no gap<br>"
    lines = [
        (
            _time(row["since"]),
            f"{(row['until'] - row['since']).total_seconds():,.0f} s",
            escape(row["cause"]),
            _marked(COLORS.get(row["state"], DOWN), row["state"]),
            f"{row['rows_added']:,}",
            f"{row['rows_corrected']:,}",
        )
        for row in reversed(rows[-SHOWN_GAPS:])
    ]
    further = f"the newest {SHOWN_GAPS} of {len(rows):,}<br>" if len(rows) > SHOWN_GAPS else ""
    head = ("from (New York)", "length", "cause", "state", "added", "corrected")
    return table("Gap ledger", head, lines) + further + _buttons(dagster_url)


def _buttons(dagster_url: str) -> str:
    if not dagster_url:
        return ""
    address = f"{escape(dagster_url)}/locations/polygon_assets/jobs"
    return (
        f'<a href="{address}/fill_gaps/playground" target="_blank">fill gaps</a> &nbsp; '
        f'<a href="{address}/waive_gaps/playground" target="_blank">waive gaps</a><br>'
    )


def days_html(listed: Sequence[Day]) -> str:
    """All days as a calendar, and the newest with their figures; each leads to its rows."""
    lines = [
        (
            f'<a class="whole" href="day/{day.day}">{day.day}</a>',
            _marked(DAY_COLORS.get(day.state, "inherit"), day.state),
            _time(day.closed_at) if day.closed_at else "",
            f"{day.matching:,}" if day.matching or day.different else "",
            ", ".join(f"{count:,} {escape(name)}" for name, count in day.different.items()),
        )
        for day in listed[:SHOWN_DAYS]
    ]
    head = ("day", "state", "closed at", "symbols that match", "that differ")
    return table("The newest trading days", head, lines) + _calendar(listed)


def _calendar(listed: Sequence[Day]) -> str:
    """A line a month, newest first, with a cell a trading day."""
    months = groupby(listed, lambda day: f"{day.day:%Y-%m}")
    lines = [
        (f'<span class="whole">{month}</span>', "".join(map(_cell, reversed(list(days)))))
        for month, days in months
    ]
    return table("Calendar of days", ("month", "days"), lines) + _days_legend()


def _cell(day: Day) -> str:
    color = DAY_COLORS.get(day.state, "inherit")
    return (
        f'<a class="day" href="day/{day.day}" style="border-color:{color}" '
        f'title="{day.day} {day.state}" aria-label="{day.day} {day.state}">{day.day:%d}</a>'
    )


def _days_legend() -> str:
    colors = {"open": "inherit", **DAY_COLORS}
    return " &nbsp; ".join(_marked(color, state) for state, color in colors.items())


def lags_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """The messages that each program had not read yet: now, and within a day."""
    if not rows:
        return "no heartbeat of a program is stored<br>"
    lines = [
        (
            escape(row["program"]),
            escape(row["state"]),
            f"{row['rate']:,.0f}/s",
            *("" if row[name] is None else f"{row[name]:,}" for name in LAGS),
            _time(row["newest"]),
        )
        for row in rows
    ]
    head = ("program", "state", "rate", "lag", "p50", "p99", "newest heartbeat")
    return table("Programs and their lag", head, lines)


def refusals_html(counts: Sequence[Mapping[str, Any]]) -> str:
    """Each reason with its newest letter, which `polygon-assets dead-letters show` prints."""
    if not counts:
        return "nothing was refused<br>"
    reasons = [
        (
            escape(row["program"]),
            f"{row['letters']:,}",
            _time(row["newest"]),
            f"{escape(one_line(row['sample']))} <code>{escape(row['sample_id'])}</code>",
        )
        for row in counts
    ]
    head = ("program", "events", "newest", "the newest one's reason and id")
    return table("Refusals by reason", head, reasons)


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%m-%d %H:%M:%S}"
