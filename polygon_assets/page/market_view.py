"""The view of the whole market: a live board of all symbols, the top movers, the market's clock.

Add a panel about all symbols here; one symbol belongs to `symbol_view`.
"""

import datetime as dt
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import panel as pn

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import calendar_of
from polygon_assets.page.board import COLUMNS, board, changes
from polygon_assets.page.frame import (
    CURE,
    Place,
    age_line,
    clock_line,
    every_second,
    framed,
    html,
    is_dark,
    silence_line,
    when_new,
)
from polygon_assets.page.readings import Reading
from polygon_assets.page.sources import Prices, Sources

BOARD_HEIGHT = 640
PLAIN = {"number_fg_mode": "disabled"}
WHOLE = PLAIN | {"number_format": {"maximumFractionDigits": 0}}
SIGNED = {"number_fg_mode": "color", "pos_fg_color": "#00796b", "neg_fg_color": "#d32f2f"}
GRID = {
    "columns": list(COLUMNS),
    "columns_config": {"last": PLAIN, "change %": SIGNED, "volume": WHOLE, "age s": WHOLE},
    "sort": [["volume", "desc"]],
    "settings": False,
    "editable": False,
    "height": BOARD_HEIGHT,
    "sizing_mode": "stretch_width",
    "min_width": 300,
}
NO_CLOSES = "Without the previous closes in Snowflake there is no change."


class Board:
    """The board, computed once for all visitors whenever the prices are new."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._of: Prices | None = None
        self._frame = pd.DataFrame()

    def frame(self) -> pd.DataFrame:
        """The newest board; empty before the first answer."""
        prices = self._sources.prices().value
        if prices is not None and prices is not self._of:
            closes: Mapping[str, float] = self._sources.closes().value or {}
            gaps = self._sources.rows("gaps").value or []
            self._frame = board(prices.last, closes, gaps, prices.now)
            self._of = prices
        return self._frame


def market_view(sources: Sources, shared: Board) -> Any:
    """The page of one visitor."""
    view = MarketView(sources, shared)
    return framed(Place("The market", ""), view.panels(), sources.settings.dagster_url)


class MarketView:
    """One visitor's panels; `update` brings each up to date."""

    def __init__(self, sources: Sources, shared: Board) -> None:
        self._sources, self._shared = sources, shared
        self._calendar = calendar_of(sources.settings)
        self._clock, self._age, self._movers, self._chosen = html(), html(), html(), html()
        self._grid = pn.pane.Perspective(**GRID, theme="pro-dark" if is_dark() else "pro")
        self._grid.on_click(self._choose)
        self._board = pn.Column(min_height=BOARD_HEIGHT)
        self._shown: pd.DataFrame | None = None
        self._filter = pn.widgets.TextInput(
            label="Filter", placeholder="symbols that begin with …", width=220
        )
        self._filter.param.watch(self._filter_symbols, "value_input")
        every_second(self.update)
        when_new(lambda: sources.prices().value, self._update_board)

    def panels(self) -> list[Any]:
        symbols = pn.Column(
            "## All symbols",
            pn.Row(self._filter, self._chosen),
            self._board,
            self._age,
            min_width=320,
            styles={"flex": "3 1 560px"},
        )
        movers = pn.Column(
            "## Top movers, 10 s", self._movers, min_width=280, styles={"flex": "1 1 300px"}
        )
        return [self._clock, pn.FlexBox(symbols, movers)]

    def update(self) -> None:
        now = dt.datetime.now(dt.UTC)
        prices, frame = self._sources.prices(), self._shared.frame()
        self._clock.object = f'<span class="numbers">{_clock(self._calendar, prices, now)}</span>'
        closes = self._sources.closes()
        further = "" if closes.value else f" · {NO_CLOSES} {escape(closes.problem)}"
        if closes.value and closes.problem:
            further = f" · previous closes {age_line(closes, now, CURE)}"
        self._age.object = f"{len(frame):,} symbols · {age_line(prices, now, CURE)}{further}"
        self._movers.object = _movers(self._sources.rows("movers"), now)

    def _update_board(self) -> None:
        frame, shown = self._shared.frame(), self._shown
        if not len(frame) or frame is shown:
            return
        self._shown = frame
        patches = None if shown is None else changes(shown, frame)
        # A new object would be sent, and drawn, twice by Panel, with every symbol as text.
        if patches is None:
            self._grid.object = frame.copy()  # patches change it; the frame is everybody's
        elif patches:
            self._grid.patch(patches)
        # Perspective reports an error for a table without rows, so the grid comes with them.
        if not len(self._board):
            self._board.append(self._grid)

    def _filter_symbols(self, event: Any) -> None:
        begin = event.new.strip()
        self._grid.filters = [["symbol", "begins with", begin]] if begin else []
        # Without a mouse no row can be clicked: a symbol typed in full is offered as well.
        is_symbol = self._shown is not None and self._shown["symbol"].eq(begin).any()
        self._offer(begin if is_symbol else "")

    def _choose(self, event: Any) -> None:
        if symbol := (event.row or {}).get("symbol"):
            self._offer(symbol)

    def _offer(self, symbol: str) -> None:
        self._chosen.object = f'<a href="symbol/{symbol}">open {symbol}</a>' if symbol else ""


def _clock(calendar: MarketCalendar, prices: Reading[Prices], now: dt.datetime) -> str:
    """The clock and, while the market is open, how long it has been silent."""
    if prices.value is None:
        return clock_line(calendar, now)
    # Prices that cannot be read grow older too; then their panel says so.
    known, market_now = prices.value, prices.value.now
    silence = silence_line(known.newest, market_now) if calendar.is_open(market_now) else ""
    return f"{clock_line(calendar, market_now)} &nbsp; {silence}"


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
        f'<td align=right class="{"up" if change > 0 else "down"}">{change:+.2f} %</td></tr>'
    )
