"""The view of trust: what is complete, what is missing, how late rows come, and what was refused.

Add a panel about trust here; what it shows belongs to `trust`, its figures to `timeline`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import panel as pn

from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.market_clock import calendar_of
from polygon_assets.page.candles import COLORS, DOWN
from polygon_assets.page.frame import Place, age_line, every_second, framed, html, is_dark, table
from polygon_assets.page.sources import Sources
from polygon_assets.page.timeline import CoverageFigure, DelaysFigure
from polygon_assets.page.trust import Day, days, delays, timeline

SHOWN_GAPS, SHOWN_DAYS, SHOWN_LETTERS = 30, 60, 5
CURE = "<code>polygon-assets status</code> says what is away; the page continues by itself."
DAY_COLORS = {"reconciled": COLORS["streamed"], "closed": COLORS["verified"], "drift": DOWN}
LEGEND = (
    ("streamed", "streamed"),
    ("verified", "filled and verified"),
    ("filled", "filled, not verified yet"),
    ("gap", "gap"),
    ("waived", "waived by a person"),
)


def trust_view(sources: Sources) -> Any:
    """The page of one visitor."""
    calendar = calendar_of(sources.settings)
    coverage, delay = CoverageFigure(dark=is_dark()), DelaysFigure(dark=is_dark())
    ages = {name: html() for name in ("coverage", "delays")}
    alerts, gaps, calendar_of_days, refusals = html(), html(), html(), html()

    def update() -> None:
        now = dt.datetime.now(dt.UTC)
        ledger = sources.rows("gaps")
        prices = sources.prices().value
        market_now = prices.now if prices else now
        session = calendar.session_at(market_now)
        if session and ledger.value is not None:
            whole = Interval(session.extended_open, session.extended_close)
            covered = sources.coverage().value or []
            coverage.draw(timeline(covered, ledger.value, whole, market_now))
        delay.draw(delays(sources.rows("delays").value or []))
        ages["coverage"].object = f"{_legend()} {age_line(sources.coverage(), now, CURE)}"
        ages["delays"].object = age_line(sources.rows("delays"), now, CURE)
        alerts.object = _alerts(sources.rows("alerts").value)
        gaps.object = _gaps(ledger.value or [], sources.settings.dagster_url) + age_line(
            ledger, now, CURE
        )
        closed, compared = sources.rows("closed days"), sources.compared_days()
        listed = days(closed.value or [], compared.value or [], calendar.day_of(market_now))
        calendar_of_days.object = (
            _days(listed, sources.settings.dagster_url)
            + age_line(closed, now, CURE)
            + (f"<br>{age_line(compared, now, CURE)}" if compared.problem else "")
        )
        refused = sources.refusals()
        refusals.object = _refusals(*(refused.value or ([], []))) + age_line(refused, now, CURE)

    every_second(update)
    panels = [
        alerts,
        "## Today's coverage",
        pn.pane.Bokeh(coverage.figure, sizing_mode="stretch_width"),
        ages["coverage"],
        pn.FlexBox(
            _panel("## Gaps", gaps),
            _panel("## Days", calendar_of_days),
            _panel(
                "## From the end of a second to its receipt",
                pn.pane.Bokeh(delay.figure, sizing_mode="stretch_width"),
                ages["delays"],
            ),
            _panel("## Refused within a day", refusals),
        ),
    ]
    return framed(Place("Trust", "trust"), panels, sources.settings.dagster_url)


def _panel(*content: Any) -> Any:
    return pn.Column(*content, min_width=320, styles={"flex": "1 1 480px"})


def _legend() -> str:
    return " &nbsp; ".join(
        f'<span style="color:{COLORS[state]}">■</span> {label}' for state, label in LEGEND
    )


def _alerts(rows: Sequence[Mapping[str, Any]] | None) -> str:
    if not rows:
        return "" if rows is None else "no alert fires"
    lines = [
        f"<li><b>{escape(row['alert'])}</b> {escape(row['subject'])} since {_time(row['since'])}: "
        f"{escape(row['detail'])}</li>"
        for row in rows
    ]
    return f'<ul class="problem" role="alert">{"".join(lines)}</ul>'


def _gaps(rows: Sequence[Mapping[str, Any]], dagster_url: str) -> str:
    if not rows:
        return "no gap<br>"
    lines = [
        (
            _time(row["since"]),
            f"{(row['until'] - row['since']).total_seconds():,.0f} s",
            escape(row["cause"]),
            f'<span style="color:{COLORS.get(row["state"], DOWN)}">{escape(row["state"])}</span>',
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


def _days(listed: Sequence[Day], dagster_url: str) -> str:
    lines = [
        (
            _day(day.day, dagster_url),
            f'<span style="color:{DAY_COLORS.get(day.state, "inherit")}">{day.state}</span>',
            _time(day.closed_at) if day.closed_at else "",
            f"{day.matching:,}" if day.matching or day.different else "",
            ", ".join(f"{count:,} {escape(name)}" for name, count in day.different.items()),
        )
        for day in listed[:SHOWN_DAYS]
    ]
    head = ("day", "state", "closed at", "symbols that match", "that differ")
    return table("Trading days", head, lines)


def _day(day: dt.date, dagster_url: str) -> str:
    if not dagster_url:
        return f"{day}"
    asset = f"{escape(dagster_url)}/assets/snowflake/marts/stream_vs_batch?partition={day}"
    return f'<a href="{asset}" target="_blank">{day}</a>'


def _refusals(counts: Sequence[Mapping[str, Any]], letters: Sequence[Mapping[str, Any]]) -> str:
    if not counts:
        return "nothing was refused<br>"
    reasons = [
        (escape(row["program"]), escape(row["kind"]), f"{row['letters']:,}", _time(row["newest"]))
        for row in counts
    ]
    samples = "".join(
        f"<li><code>{escape(row['letter_id'])}</code> {escape(row['reason'])}</li>"
        for row in letters[:SHOWN_LETTERS]
    )
    head = ("program", "reason", "events", "newest")
    return table("Refusals by reason", head, reasons) + f"the newest:<ul>{samples}</ul>"


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%m-%d %H:%M:%S}"
