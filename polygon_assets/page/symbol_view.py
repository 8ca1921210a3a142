"""The view of one symbol: candles that move, history, marks, and closes as known earlier.

Add a panel about one symbol here; what a candle shows belongs to `candles`, how it is drawn to
`candle_chart`, what is loaded to `symbol_history`.
"""

import asyncio
import datetime as dt
import math
from html import escape
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import numpy as np
import panel as pn
import pyarrow as pa
import pyarrow.compute as pc

from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.page.candle_chart import CandleChart
from polygon_assets.page.candles import (
    Columns,
    changes,
    columns_of,
    later,
    moment_of,
    shaded,
    wall_ms,
)
from polygon_assets.page.drawn_candles import MOST_VISIBLE
from polygon_assets.page.frame import (
    CURE,
    Place,
    age_line,
    every_second,
    framed,
    html,
    is_dark,
    when_new,
)
from polygon_assets.page.readings import FAILURES, Reading
from polygon_assets.page.sources import Prices, Sources
from polygon_assets.page.symbol_choice import (
    RECENT_BARS,
    SPANS,
    WIDTHS,
    Chosen,
    in_address,
    show_in_address,
)
from polygon_assets.page.symbol_history import (
    History,
    day_coverage,
    first_history,
    history,
    known_at,
    recent_history,
    tail,
)
from polygon_assets.subscriptions import channel_of

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BARS = 90_000
"""Kept for a visitor, in about 25 MB: more than a day of seconds."""
MARGIN_BARS = 4
"""Empty places after the newest bar."""
HISTORY, KNOWN = "history", "known"
"""The questions of a visitor."""


def coverage_line(intervals: pa.Table) -> str:
    """How many seconds of the day are traded, quiet and unknown, as HTML."""
    seconds = dict.fromkeys(("traded", "quiet", "unknown"), 0)
    for interval in intervals.to_pylist():
        seconds[interval["status"]] += interval["seconds"]
    return (
        f'<span class="numbers">this trading day so far: {seconds["traded"]:,} s with a trade, '
        f"{seconds['quiet']:,} s quiet (proved), {seconds['unknown']:,} s unknown</span>"
    )


def merged_line(step: int) -> str:
    """That neighbours are drawn as one, as HTML; nothing where each candle is drawn."""
    if step == 1:
        return ""
    return (
        f"<span>more than {MOST_VISIBLE:,} candles are visible, so up to {step} are drawn as one; "
        "zoom in to see each</span> · "
    )


def symbol_view(sources: Sources) -> Any:
    """The page of one visitor; the symbol is the last part of its address."""
    address = pn.state.location.pathname if pn.state.location else ""
    name = unquote(str(address).rstrip("/").rsplit("/", 1)[-1])
    view = SymbolView(sources, name)
    return framed(Place(name, "symbol", "../"), view.panels(), sources.settings.dagster_url)


class SymbolView:
    """One visitor's chart and choice."""

    def __init__(self, sources: Sources, symbol: str) -> None:
        self._sources = sources
        self._chart = CandleChart(dark=is_dark())
        self._chosen = in_address(symbol)
        self._choices = 0
        """How often something was chosen: an answer to an earlier choice is dropped."""
        self._loading = False
        self._looks_elsewhere = False
        self._everything_loaded = False
        self._adjusted_until = -math.inf
        self._problems = {HISTORY: "", KNOWN: ""}
        self._gap_states: dict[float, str] = {}
        """The state of each gap that was visible, by its left end."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._head, self._age, self._coverage = html(), html(), html()
        self._width = pn.widgets.RadioButtonGroup(
            label="Width of a candle", options=list(WIDTHS), value=self._chosen.label, width=320
        )
        self._span = pn.widgets.RadioButtonGroup(
            label="Visible at first",
            options=SPANS,
            value=self._chosen.span,
            width=240,
            disabled=self._chosen.is_of_days,
        )
        self._at = pn.widgets.DatetimeInput(
            label="As known at (UTC)",
            value=_naive(self._chosen.at),
            width=220,
            disabled=self._chosen.is_of_days,
        )
        for widget in (self._width, self._span, self._at):
            widget.param.watch(self._choose, "value")
        for end in ("start", "end"):
            self._chart.range.on_change(end, self._on_pan)

    def panels(self) -> list[Any]:
        """The view's panels; they follow the market while the page is open."""
        self._watch()
        pn.state.on_session_destroyed(lambda _: self._leave())
        pn.state.onload(self._load)
        every_second(self._update)
        when_new(lambda: (self._key(), self._reading().at), self._draw_changes)
        return [
            pn.FlexBox(self._width, self._span, self._at, align_items="end"),
            self._head,
            pn.pane.Bokeh(self._chart.figures, sizing_mode="stretch_width"),
            self._age,
            self._coverage,
        ]

    def _key(self) -> tuple[str, str, str]:
        return "tail", self._chosen.symbol, self._chosen.every

    def _watch(self) -> None:
        self._sources.clickhouse.watch(self._key(), tail(self._chosen))
        self._sources.clickhouse.watch(self._coverage_key(), day_coverage(self._chosen.symbol))

    def _leave(self) -> None:
        self._sources.clickhouse.leave(self._key())
        self._sources.clickhouse.leave(self._coverage_key())

    def _coverage_key(self) -> tuple[str, str]:
        return "coverage", self._chosen.symbol

    def _reading(self) -> Reading[pa.Table]:
        return cast("Reading[pa.Table]", self._sources.clickhouse.reading(self._key()))

    def _choose(self, _event: Any) -> None:
        self._leave()
        self._choices += 1
        typed = self._at.value
        at = typed.replace(tzinfo=dt.UTC) if isinstance(typed, dt.datetime) else None
        every, span = WIDTHS[self._width.value], self._span.value
        if every != self._chosen.every:
            self._chart.clear()  # until the others come; a chart never mixes widths
        self._chosen = Chosen(self._chosen.symbol, every, at, span)
        self._span.disabled = self._at.disabled = self._chosen.is_of_days
        show_in_address(self._chosen)
        self._watch()
        self._load()

    def _load(self) -> None:
        """Load the chart anew."""
        chosen, self._loading = self._chosen, True
        self._ask(
            HISTORY,
            lambda: first_history(self._sources, chosen),
            lambda loaded: self._place(loaded, chosen),
        )

    def _place(self, loaded: History, chosen: Chosen) -> None:
        self._everything_loaded = chosen.is_of_days
        self._adjusted_until = loaded.adjusted_until
        self._problems[HISTORY] = loaded.problem
        assert loaded.window is not None
        width, starts = 1000 * chosen.seconds, loaded.candles["start"]
        begin, end = map(wall_ms, loaded.window)
        # A symbol that has rested for long shows its last trades, not an empty chart.
        if starts and starts[-1] < begin:
            begin, end = starts[-1] - RECENT_BARS * width, starts[-1]
        self._chart.place(loaded.candles, width, (begin, end + MARGIN_BARS * width))
        self._chart.splits.data = dict(loaded.splits)
        self._mark_known(chosen)

    def _mark_known(self, chosen: Chosen) -> None:
        """Draw what was known at the chosen moment."""

        def draw(known: Columns) -> None:
            self._chart.known.data = {name: np.asarray(known[name], float) for name in known}

        if chosen.at is None or chosen.is_of_days:
            draw({"start": [], "close": []})
            return
        since, until = map(moment_of, self._chart.shown)
        self._ask(KNOWN, lambda: known_at(self._sources, chosen, since, until), draw)

    def _on_pan(self, _attribute: str, _old: object, _new: object) -> None:
        """The ends of the visible part change one after the other, so wait for both."""
        document = self._chart.range.document
        if document and not self._looks_elsewhere:
            self._looks_elsewhere = True
            document.add_next_tick_callback(self._look)

    def _look(self) -> None:
        self._looks_elsewhere = False
        self._chart.look()
        self._load_older()

    def _load_older(self) -> None:
        """Load what lies to the left, once the visitor looks beyond what is there."""
        starts = self._chart.loaded["start"]
        may_load = not self._loading and not self._everything_loaded and len(starts) < MOST_BARS
        if not (may_load and starts and self._chart.shown[0] < starts[0]):
            return
        chosen, room = self._chosen, MOST_BARS - len(starts)
        earliest = max(self._chart.shown[0], starts[0] - 1000 * room * self._chosen.seconds)
        begin, end = moment_of(earliest), moment_of(starts[0])
        self._loading = True

        def prepend(loaded: History) -> None:
            self._everything_loaded = not loaded.candles["start"]
            self._chart.prepend(loaded.candles)

        self._ask(HISTORY, lambda: history(self._sources, chosen, end, begin), prepend)

    def _refresh(self, begin: float) -> None:
        """Load again what begins at a place on the axis: something was missed, or filled."""
        chosen, since, self._loading = self._chosen, moment_of(begin), True
        self._ask(
            HISTORY,
            lambda: recent_history(self._sources, chosen, since),
            lambda loaded: self._chart.refresh(loaded.candles),
        )

    def _ask(self, name: str, question: "Callable[[], Any]", draw: "Callable[[Any], None]") -> None:
        """Run a question in a thread, and draw its answer.

        An answer that comes after another choice is dropped; a failure becomes a line on the page.
        """
        choices, document = self._choices, pn.state.curdoc

        def show(answer: Any) -> None:
            if choices != self._choices:
                return
            self._loading = self._loading and name != HISTORY
            self._problems[name] = str(answer) if isinstance(answer, Exception) else ""
            if not isinstance(answer, Exception):
                draw(answer)

        async def ask() -> None:
            try:
                answer = await asyncio.to_thread(question)
            except (*FAILURES, OverflowError) as error:
                answer = error
            # Bokeh allows changes only under the document's lock, which is not held after `await`.
            # The document of a visitor who has left meanwhile has no session any more.
            if document and document.session_context:
                document.add_next_tick_callback(lambda: show(answer))

        self._tasks.add(task := asyncio.get_running_loop().create_task(ask()))
        task.add_done_callback(self._tasks.discard)

    def _draw_changes(self) -> None:
        newest = self._reading().value
        # Someone who looks at an earlier moment is not carried away by the market.
        if newest is None or self._loading or self._chosen.at:
            return
        starts = self._chart.loaded["start"]
        if newest.num_rows and not starts:
            self._load()
            return
        candles = later(columns_of(newest), self._adjusted_until)
        if candles["start"] and candles["start"][0] > starts[-1]:
            # Between the chart's last candle and the first new one others may have been missed.
            self._refresh(starts[-1])
        else:
            self._chart.change(changes(self._chart.loaded, candles))

    def _refresh_settled(self, shade: Columns) -> None:
        """Load the candles of gaps whose state has changed: their seconds may have been filled."""
        states, known = dict(zip(shade["left"], shade["label"], strict=True)), self._gap_states
        changed = [left for left, state in states.items() if known.get(left, state) != state]
        may_load = not (self._loading or self._chosen.at or self._chosen.is_of_days)
        if changed and not may_load:
            return
        self._gap_states = known | states
        if changed and self._chart.loaded["start"]:
            self._refresh(min(changed))

    def _update(self) -> None:
        reading, now = self._reading(), dt.datetime.now(dt.UTC)
        gaps = self._sources.rows("gaps").value or []
        shade = shaded(gaps, channel_of(self._chosen.symbol), *self._chart.shown)
        if shade != self._chart.gaps.data:
            self._chart.gaps.data = dict(shade)
        self._refresh_settled(shade)
        self._head.object = _headline(self._chosen.symbol, reading, self._sources.prices())
        self._age.object = merged_line(self._chart.step) + age_line(reading, now, CURE)
        known = cast("Reading[pa.Table]", self._sources.clickhouse.reading(self._coverage_key()))
        line = "" if known.value is None else f"{coverage_line(known.value)} · "
        self._coverage.object = line + age_line(known, now, CURE)
        for problem in filter(None, self._problems.values()):
            self._age.object += f'<p class="problem" role="alert">{escape(problem)}</p>'


def _headline(symbol: str, bars: Reading[pa.Table], prices: Reading[Prices]) -> str:
    """The newest bar or, where the symbol has rested for a while, its last price."""
    rows = bars.value.to_pylist() if bars.value is not None else []
    if rows:
        newest = rows[-1]
        volume = newest["volume"].normalize()
        finality = newest["finality"] or "finality not known any more"
        return _line(symbol, newest["close"], newest["start"], f"volume {volume:,f} · {finality}")
    if prices.value is None:
        return f"<b>{escape(symbol)}</b>: prices are not read yet"
    last = prices.value.last
    for row in last.filter(pc.equal(last["symbol"], symbol)).to_pylist():
        return _line(symbol, row["close"], row["last_timestamp"], "its last trade")
    return f"<b>{escape(symbol)}</b>: no trade is stored"


def _line(symbol: str, price: float, moment: dt.datetime, further: str) -> str:
    at = moment.astimezone(NEW_YORK)
    return (
        f'<span class="numbers"><b style="font-size:20px">{escape(symbol)} {price:,.2f}</b> '
        f"&nbsp; {at:%b %d %H:%M:%S} New York · {further}</span>"
    )


def _naive(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.replace(tzinfo=None, microsecond=0) if moment else None
