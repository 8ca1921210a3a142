"""The view of the whole market: a live board of all symbols, the top movers, the market's clock.

Add a panel about all symbols here; one symbol belongs to `symbol_view`.
"""

import datetime as dt
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import panel as pn

from polygon_assets.market_clock import calendar_of
from polygon_assets.page.board import COLUMNS, board
from polygon_assets.page.candles import DOWN, UP
from polygon_assets.page.frame import (
    Place,
    age_line,
    clock_line,
    every_second,
    framed,
    html,
    is_dark,
)
from polygon_assets.page.readings import Reading
from polygon_assets.page.sources import Prices, Sources

BOARD_HEIGHT = 640
CURE = "Is ClickHouse up? <code>polygon-assets status</code> says; the page continues by itself."
NO_CLOSES = "Without the previous closes in Snowflake there is no change."


class Board:
    """The board, computed once for all visitors whenever the prices are new."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._at: dt.datetime | None = None
        self._frame = pd.DataFrame()

    def frame(self) -> pd.DataFrame:
        """The newest board; empty before the first answer."""
        prices = self._sources.prices()
        if prices.value is not None and prices.at != self._at:
            closes: Mapping[str, float] = self._sources.closes().value or {}
            gaps = self._sources.rows("gaps").value or []
            self._frame = board(prices.value.last, closes, gaps, prices.value.now)
            self._at = prices.at
        return self._frame


def market_view(sources: Sources, shared: Board) -> Any:
    """The page of one visitor."""
    calendar = calendar_of(sources.settings)
    clock, age, movers, chosen = html(), html(), html(), html()
    grid = _grid(shared.frame())
    filtered = pn.widgets.TextInput(
        name="Filter", placeholder="symbols that begin with …", width=220
    )

    def filter_symbols(event: Any) -> None:
        grid.filters = [["symbol", "begins with", event.new.strip()]] if event.new.strip() else []

    def choose(event: Any) -> None:
        if symbol := (event.row or {}).get("symbol"):
            chosen.object = f'<a href="symbol/{symbol}">open {symbol}</a>'

    def update() -> None:
        now = dt.datetime.now(dt.UTC)
        prices = sources.prices()
        frame = shared.frame()
        if frame is not grid.object:
            grid.object = frame
        clock.object = f'<span class="numbers">{_clock(calendar, prices, now)}</span>'
        closes = sources.closes()
        further = "" if closes.value else f" · {NO_CLOSES} {escape(closes.problem)}"
        age.object = f"{len(frame):,} symbols · {age_line(prices, now, CURE)}{further}"
        movers.object = _movers(sources.rows("movers"), now)

    filtered.param.watch(filter_symbols, "value_input")
    grid.on_click(choose)
    every_second(update)
    pages = [
        clock,
        pn.FlexBox(
            pn.Column(
                "## All symbols",
                pn.Row(filtered, chosen),
                grid,
                age,
                min_width=320,
                styles={"flex": "3 1 560px"},
            ),
            pn.Column("## Top movers, 10 s", movers, min_width=280, styles={"flex": "1 1 300px"}),
        ),
    ]
    return framed(Place("The market", ""), pages, sources.settings.dagster_url)


def _grid(frame: pd.DataFrame) -> Any:
    whole = {"number_format": {"maximumFractionDigits": 0}}
    return pn.pane.Perspective(
        frame,
        columns=list(COLUMNS),
        columns_config={"volume": whole, "age s": whole},
        sort=[["volume", "desc"]],
        settings=False,
        editable=False,
        theme="pro-dark" if is_dark() else "pro",
        height=BOARD_HEIGHT,
        sizing_mode="stretch_width",
        min_width=300,
    )


def _clock(calendar: Any, prices: Reading[Prices], now: dt.datetime) -> str:
    return clock_line(calendar, prices.value.now if prices.value else now)


def _movers(reading: Reading[list[dict[str, Any]]], now: dt.datetime) -> str:
    rows = "".join(map(_mover, reading.value or ()))
    return (
        '<table aria-label="Top movers" style="width:100%"><thead><tr><th align=left>symbol</th>'
        f"<th align=right>last</th><th align=right>10 s</th></tr></thead>{rows}</table>"
        f"{age_line(reading, now, CURE)}"
    )


def _mover(row: Mapping[str, Any]) -> str:
    change = row["percentage_change_10s"]
    return (
        f'<tr><td><a href="symbol/{row["symbol"]}">{row["symbol"]}</a></td>'
        f"<td align=right>{row['last_price']:,.2f}</td>"
        f'<td align=right style="color:{UP if change > 0 else DOWN}">{change:+.2f} %</td></tr>'
    )
