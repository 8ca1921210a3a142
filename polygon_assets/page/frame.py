"""What every view shares: the frame with its links, the theme, and each panel's age.

Add what belongs to all views here; what a view shows belongs to its module.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

import panel as pn

from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.page.readings import Reading

UPDATE_MS, CHECK_MS = 1000, 200
SILENT_SECONDS = 6.0
"""A second arrives up to 4 s after its start: a longer silence is worth a line."""
CURE = "<code>polygon-assets status</code> says what is away; the page continues by itself."
VIEWS = (("Market", ""), ("Trust", "trust"), ("Cost", "cost"))
TEMPLATE = (resources.files("polygon_assets.page") / "frame.html").read_text()
STYLES = [
    """
    .problem { color: var(--problem); font-weight: 600; }
    .age { font-size: 12px; }
    .up { color: var(--up); }
    .down { color: var(--down); }
    .numbers { font-variant-numeric: tabular-nums; }
    table { border-collapse: collapse; }
    a { color: var(--link); text-decoration: none; }
    td, th { padding: 2px 8px 2px 0; }
    .whole { white-space: nowrap; }
    a.day { display: inline-block; min-width: 20px; margin: 1px 3px 1px 0; text-align: center;
      color: inherit; border-bottom: 3px solid; }
    """
]


@dataclass(frozen=True)
class Place:
    """Where a view is: its heading, its path among VIEWS, and the way from it to the root."""

    heading: str
    path: str
    prefix: str = ""


def is_dark() -> bool:
    """Whether this visitor chose the dark theme (`?theme=dark`)."""
    return bool(pn.config.theme == "dark")


def framed(place: Place, content: Sequence[Any], dagster_url: str) -> Any:
    """A view in the frame of all views."""
    template = pn.Template(TEMPLATE, location=True)
    for name, value in {
        "heading": place.heading,
        "current": place.path,
        "prefix": place.prefix,
        "views": VIEWS,
        "paths": [path for _, path in VIEWS],
        "theme": "dark" if is_dark() else "light",
        "query": "?theme=dark" if is_dark() else "",
        "dagster_url": dagster_url,
    }.items():
        template.add_variable(name, value)
    template.add_panel("main", pn.Column(*content, sizing_mode="stretch_width"))
    return template


def html(text: str = "", **options: Any) -> Any:
    """A pane of HTML with the styles that all views share."""
    return pn.pane.HTML(text, stylesheets=STYLES, sizing_mode="stretch_width", **options)


def table(label: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as HTML; cells are HTML too."""
    columns = "".join(f"<th align=left>{name}</th>" for name in head)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return (
        f'<table class="numbers" aria-label="{label}"><thead><tr>{columns}</tr></thead>{rows}'
        "</table>"
    )


def every_second(update: Callable[[], None]) -> None:
    """Call `update` now and each second while the visitor's page is open."""
    update()
    pn.state.add_periodic_callback(update, UPDATE_MS)


def when_new(version: Callable[[], object], update: Callable[[], None]) -> None:
    """Call `update` now, and soon after `version` changes, while the visitor's page is open.

    While `version` is None nothing is called.
    """
    shown: list[object] = [None]

    def check() -> None:
        newest = version()
        if newest != shown[0]:
            shown[0] = newest
            update()

    check()
    pn.state.add_periodic_callback(check, CHECK_MS)


def age_line(reading: Reading[Any], now: dt.datetime, cure: str) -> str:
    """The age of a panel's answer as HTML; with a problem its sentence and the cure (HTML too)."""
    age = reading.age(now)
    shown = "no answer yet" if age is None else f"{age:.0f} s old"
    if reading.problem:
        return (
            f'<span class="age problem" role="alert">{shown}: {escape(reading.problem)}. '
            f"{cure}</span>"
        )
    return f'<span class="age">{shown}</span>'


def silence_line(newest: dt.datetime | None, now: dt.datetime) -> str:
    """Says how long no symbol has had a new second, as HTML; empty while the market moves.

    `newest` is the start of the newest second of all symbols, `now` the market time.
    """
    if newest is None or (silent := (now - newest).total_seconds()) <= SILENT_SECONDS:
        return ""
    return (
        f'<span class="problem" role="alert">no new second of any symbol for {silent:.0f} s</span>'
    )


def clock_line(calendar: MarketCalendar, now: dt.datetime) -> str:
    """Where the market is in its day, in New York's time: session, early close, next open."""
    shown = f"{now.astimezone(NEW_YORK):%a %H:%M:%S} New York"
    if calendar.name == "24/7":
        return f"{shown} · always open (the simulated exchange)"
    session = calendar.session_at(now)
    if session is None:
        opening = calendar.next_session(now)
        return (
            f"{shown} · closed · opens {opening.extended_open.astimezone(NEW_YORK):%a %b %d %H:%M}"
        )
    close = session.regular_close.astimezone(NEW_YORK)
    early = ", an early close" if (close.hour, close.minute) < (16, 0) and close.hour else ""
    phase = {"pre": "pre-market", "regular": "regular hours", "post": "post-market"}
    return f"{shown} · {phase[session.phase(now)]} · close {close:%H:%M}{early}"
