"""The view of one trading day: how its comparison with the vendor ended, by symbol, and its gaps.

Add a panel about one day here; the list of all days belongs to `trust_tables`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import panel as pn

from polygon_assets.batch.marts import queries
from polygon_assets.batch.reconciliation import Verdict
from polygon_assets.market_calendar import CalendarHorizonError, MarketCalendar, Session
from polygon_assets.market_clock import calendar_of
from polygon_assets.page.frame import (
    CURE,
    Place,
    age_line,
    every_second,
    framed,
    html,
    table,
    when_new,
)
from polygon_assets.page.readings import Reading, Source
from polygon_assets.page.sources import Rows, Sources
from polygon_assets.page.trust_tables import gaps_html
from polygon_assets.serving.gap_ledger import may_concern

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

SHOWN_SYMBOLS = 200
EVERY_SECONDS = 300.0
NOT_COMPARED = (
    "This day has not been compared yet: the asset <code>snowflake/marts/stream_vs_batch</code> "
    "compares a day once it is closed.<br>"
)
HEAD = (
    *("symbol", "verdict", "close: streamed", "vendor's", "volume: streamed", "vendor's"),
    *("volume drift", "price drift", "minutes that differ (New York)"),
)


def day_view(sources: Sources) -> Any:
    """The page of one visitor; the day is the last part of its address."""
    address = pn.state.location.pathname if pn.state.location else ""
    name = unquote(str(address).rstrip("/").rsplit("/", 1)[-1])
    calendar, dagster_url = calendar_of(sources.settings), sources.settings.dagster_url
    session = session_of(name, calendar)
    if session is None:
        problem = f"{escape(name)} is no trading day of {calendar.name}: write one as 2026-11-27."
        return framed(Place("No trading day", "day", "../"), [html(problem)], dagster_url)
    heading = f"{session.day:%A %Y-%m-%d}"
    return framed(Place(heading, "day", "../"), _panels(sources, session), dagster_url)


def session_of(name: str, calendar: MarketCalendar) -> Session | None:
    """The session of a day as it stands in the address; None for everything else."""
    try:
        return calendar.session(dt.date.fromisoformat(name))
    except (ValueError, OverflowError, CalendarHorizonError):
        return None


def _panels(sources: Sources, session: Session) -> list[Any]:
    day = session.day
    key = "compared symbols", day
    sources.warehouse.watch(key, Source(f"symbols of {day}", EVERY_SECONDS, partial(_ask, day)))
    pn.state.on_session_destroyed(lambda _: sources.warehouse.leave(key))
    symbols, age, gaps, gaps_age = html(), html(), html(), html()

    def compared() -> Reading[Rows]:
        return cast("Reading[Rows]", sources.warehouse.reading(key))

    def draw_symbols() -> None:
        symbols.object = symbols_html(compared().value or [])

    def draw_gaps() -> None:
        chosen = gaps_of(session, sources.rows("gaps").value or [])
        gaps.object = gaps_html(chosen, sources.settings.dagster_url)

    def update() -> None:
        now = dt.datetime.now(dt.UTC)
        age.object = age_line(compared(), now, CURE)
        gaps_age.object = age_line(sources.rows("gaps"), now, CURE)

    when_new(lambda: compared().at, draw_symbols)
    when_new(lambda: sources.rows("gaps").at, draw_gaps)
    every_second(update)
    return [
        html(_links(day, sources.settings.dagster_url)),
        *("## The stream and the vendor's daily bars", symbols, age),
        *("## Gaps of the day", gaps, gaps_age),
    ]


def _ask(day: dt.date, warehouse: "SnowflakeConnection") -> Rows:
    rows = queries.answer(warehouse, "compared_symbols", day=day, limit=SHOWN_SYMBOLS)
    return cast("Rows", rows.to_pylist())


def gaps_of(session: Session, ledger: Rows) -> Rows:
    """The gaps that may have lost something of a session."""
    whole = (session.extended_open, session.extended_close)
    return [gap for gap in ledger if may_concern(gap["gap_id"], gap["since"], gap["until"], whole)]


def _links(day: dt.date, dagster_url: str) -> str:
    if not dagster_url:
        return ""
    asset = f"{escape(dagster_url)}/assets/snowflake/marts/stream_vs_batch?partition={day}"
    return f'<a href="{asset}" target="_blank">this day in Dagster</a>'


def symbols_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """The comparison's rows; the symbols that differ come first."""
    if not rows:
        return NOT_COMPARED
    lines = [
        (
            f'<a href="../symbol/{escape(row["symbol"])}">{escape(row["symbol"])}</a>',
            _verdict(row["verdict"]),
            *(_number(row[name], ",.2f") for name in ("stream_close", "batch_close")),
            *(_number(row[name], ",.0f") for name in ("stream_volume", "batch_volume")),
            *(_number(row[name], ".3%") for name in ("volume_drift", "price_drift")),
            escape(row["different_minutes"] or ""),
        )
        for row in rows
    ]
    further = f"the first {SHOWN_SYMBOLS} symbols<br>" if len(rows) == SHOWN_SYMBOLS else ""
    return table("Comparison by symbol", HEAD, lines) + further


def _verdict(name: str) -> str:
    shown = escape(name.replace("_", " "))
    return shown if name == Verdict.MATCH else f'<span class="problem">{shown}</span>'


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
