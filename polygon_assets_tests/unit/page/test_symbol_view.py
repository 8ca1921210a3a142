"""The candles of one symbol: history across nights, and days that the marts have adjusted."""

import asyncio
import datetime as dt
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from bokeh.document import Document
from clickhouse_connect.driver.client import Client
from panel.io.state import set_curdoc

from polygon_assets import market
from polygon_assets.market import Connection
from polygon_assets.page.candles import Columns, columns_of, moment_of, wall_ms
from polygon_assets.page.readings import Reading
from polygon_assets.page.sources import Sources
from polygon_assets.page.symbol_choice import Chosen
from polygon_assets.page.symbol_history import LOADED_BARS, first_history, history, streamed
from polygon_assets.page.symbol_view import SymbolView, _headline, coverage_line
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.seconds import OPENING_MS, Second, insert

OPENING = dt.datetime.fromtimestamp(OPENING_MS / 1000, dt.UTC)
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
MONDAY = 3
"""Days from the Friday of OPENING to the next trading day."""


def second(days: int, at: int, price: float) -> Second:
    start = OPENING_MS + 1000 * (86_400 * days + at)
    received = (start + 2_000) * 1000
    return Second("A", start, received, price, price, price, price, Decimal(5), None)


@pytest.fixture
def sources(client: Client, settings: Settings) -> Sources:
    """One trade on Friday, and two on Monday."""
    insert(client, [second(0, 0, 1.0), second(MONDAY, 0, 2.0), second(MONDAY, 5, 3.0)])
    return Sources(settings.model_copy(update={"market_calendar": "NYSE"}))


@pytest.mark.parametrize("every", ["1s", "10s", "1m"])
def test_history_goes_on_across_a_weekend_to_the_first_trade(sources: Sources, every: str) -> None:
    end, starts = OPENING + 9 * DAY, list[float]()
    chosen = Chosen("A", every)
    while candles := history(sources, chosen, end).candles["start"]:
        starts = candles + starts
        end = moment_of(candles[0])
    assert starts[0] == wall_ms(OPENING)
    assert len(starts) == {"1s": 3, "10s": 2, "1m": 2}[every]


def newest_bars(sources: Sources, chosen: Chosen, end: dt.datetime) -> pa.Table:
    with market.connect(sources.settings) as connection:
        return streamed(connection, chosen, end)


NOON = OPENING + dt.timedelta(hours=2.5)


@pytest.fixture
def _at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the page it is noon of Friday in New York."""
    monkeypatch.setattr(Connection, "now", lambda _: NOON)


@pytest.mark.usefixtures("_at_noon")
def test_a_day_of_seconds_is_loaded_at_once(client: Client, sources: Sources) -> None:
    insert(client, [second(0, at, 1.0) for at in range(0, 9_000, 3)])
    chosen = Chosen("A", "1s", span="day")
    assert len(history(sources, chosen, NOON).candles["start"]) == LOADED_BARS // 3
    whole = first_history(sources, chosen)
    assert len(whole.candles["start"]) == 3_000
    view = View(sources, chosen)
    view._place(whole, chosen)
    assert view._chart.shown == (
        wall_ms(OPENING - dt.timedelta(hours=5.5)),
        wall_ms(NOON + 4 * SECOND),
    )


@pytest.mark.parametrize("unknown_first", [False, True])
def test_a_visible_candle_without_prices_leaves_the_axis_alone(
    sources: Sources, unknown_first: bool
) -> None:
    chart = View(sources, Chosen("A", "1m"))._chart
    known = {"start": OPENING, "open": 1.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 1.0}
    unknown = {"start": OPENING + 60 * SECOND} | dict.fromkeys(("open", "high", "low", "close"))
    if unknown_first:
        unknown["start"] = OPENING - 60 * SECOND
    rows = [known | {"finality": "final"}, unknown | {"volume": 1.0, "finality": "final"}]
    schema = pa.Table.from_pylist(rows[:1]).schema
    rows = rows[::-1] if unknown_first else rows
    columns = columns_of(pa.Table.from_pylist(rows, schema))
    chart.place(columns, 60_000, (wall_ms(OPENING - DAY), wall_ms(OPENING + DAY)))
    assert (chart.price.y_range.start, chart.price.y_range.end) == (1 - 0.12, 3 + 0.12)


def test_the_days_seconds_are_traded_quiet_or_unknown() -> None:
    parts = (("traded", 3), ("quiet", 5), ("traded", 1_000), ("unknown", 7))
    intervals = [{"status": status, "seconds": seconds} for status, seconds in parts]
    line = coverage_line(pa.Table.from_pylist(intervals))
    assert "1,003 s with a trade, 5 s quiet (proved), 7 s unknown" in line


class View(SymbolView):
    """The view outside of a page; `newest` are the bars that all who look at the symbol get."""

    newest: pa.Table | None = None
    asked = 0

    def __init__(self, sources: Sources, chosen: Chosen) -> None:
        super().__init__(sources, chosen.symbol)
        self._chosen = chosen

    def _reading(self) -> Reading[pa.Table]:
        return Reading(self.newest)

    def _ask(self, _name: str, question: Callable[[], Any], draw: Callable[[Any], None]) -> None:
        """Ask and draw at once, where a page would use a thread."""
        self.asked += 1
        draw(question())
        self._loading = False

    def closes(self) -> list[float]:
        return self._chart.loaded["close"]


def test_a_day_of_the_marts_is_never_replaced_by_the_streamed_one(
    sources: Sources, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A split of 2 for 1 on Monday: Friday's price is halved in the marts, not in the stream."""
    friday = {
        **{"ticker": "A", "trading_day": OPENING.date(), "price_factor": 0.5, "vwap": None},
        **{"open": 0.5, "high": 0.5, "low": 0.5, "close": 0.5, "volume": 10.0},
    }
    monkeypatch.setattr(market, "adjusted", lambda *_: pa.Table.from_pylist([friday]))
    no_split = pa.schema({"execution_date": pa.date32()}).empty_table()
    monkeypatch.setattr(market, "splits", lambda *_: no_split)
    chosen, end = Chosen("A", "1d"), OPENING + (MONDAY + 1) * DAY
    view = View(sources, chosen)
    view._place(replace(history(sources, chosen, end), window=(end - DAY, end)), chosen)
    assert view.closes() == [0.5, 3.0]
    insert(client, [second(MONDAY, 6, 4.0)])
    view.newest = newest_bars(sources, chosen, end)
    assert view.newest["close"].to_pylist() == [1.0, 4.0]
    view._draw_changes()
    assert view.closes() == [0.5, 4.0]


@pytest.mark.usefixtures("_at_noon")
def test_a_pause_leaves_no_hole_in_an_open_chart(sources: Sources, client: Client) -> None:
    """ClickHouse was away for longer than the newest bars reach back."""
    chosen, view = Chosen("A", "1s"), View(sources, Chosen("A", "1s"))
    view._place(first_history(sources, chosen), chosen)
    assert view.closes() == [1.0]
    insert(client, [second(0, 100, 2.0), second(0, 300, 3.0), second(0, 301, 4.0)])
    with market.connect(sources.settings) as connection:
        since = OPENING + 290 * SECOND
        view.newest = market.bars("A", since, NOON, connection=connection)
    view._draw_changes()
    assert view.closes() == [1.0, 2.0, 3.0, 4.0]
    asked = view.asked
    view._draw_changes()
    assert view.asked == asked, "nothing is missing any more"


@pytest.mark.usefixtures("_at_noon")
def test_seconds_that_fill_a_visible_gap_are_drawn(sources: Sources, client: Client) -> None:
    insert(client, [second(0, 100, 2.0)])
    chosen, view = Chosen("A", "1s"), View(sources, Chosen("A", "1s"))
    view._place(first_history(sources, chosen), chosen)
    left = wall_ms(OPENING + 40 * SECOND)
    shade: Columns = {
        "left": [left],
        "right": [left + 9_000],
        "color": ["red"],
        "label": ["crash: open"],
    }
    view._refresh_settled(shade)
    insert(client, [second(0, 42, 1.5)])
    view._refresh_settled(shade)
    assert view.closes() == [1.0, 2.0]
    view._refresh_settled(shade | {"label": ["crash: filled"]})
    assert view.closes() == [1.0, 1.5, 2.0]


@pytest.mark.usefixtures("_at_noon")
def test_a_pan_is_judged_once_by_both_ends_of_what_is_visible(
    sources: Sources, client: Client
) -> None:
    insert(client, [second(0, at, 1.0) for at in range(8_700, 9_000)])
    chosen, view = Chosen("A", "1s"), View(sources, Chosen("A", "1s"))
    document = Document()
    document.add_root(view._chart.figures)
    view._place(first_history(sources, chosen), chosen)
    starts = view._chart.loaded["start"]
    [asked] = document.session_callbacks
    asked.callback()
    view._chart.range.update(start=starts[0], end=starts[50])
    [asked] = document.session_callbacks
    asked.callback()
    drawn = cast("Columns", view._chart.source.data)["start"]
    assert [start for start in drawn if start <= starts[50]] == starts[:51]


@pytest.mark.usefixtures("_at_noon")
def test_an_answer_to_an_earlier_choice_is_dropped_although_the_same_is_chosen_again(
    sources: Sources,
) -> None:
    answered = threading.Event()

    async def choose_again() -> None:
        view = SymbolView(sources, "A")
        view._ask("history", answered.wait, lambda _: pytest.fail("an old answer was drawn"))
        view._choose(None)
        answered.set()
        await asyncio.gather(*view._tasks)

    with visited() as document:
        asyncio.run(choose_again())
        asked = document.session_callbacks
    assert asked
    for callback in asked:
        callback.callback()


@pytest.mark.usefixtures("_at_noon")
def test_an_answer_to_a_visitor_who_has_left_is_dropped(sources: Sources) -> None:
    answered = threading.Event()

    async def leave(document: Document) -> None:
        view = SymbolView(sources, "A")
        view._ask("history", answered.wait, lambda _: pytest.fail("nobody sees it"))
        answered.set()
        document.on_change(print)
        document.destroy(print)  # Bokeh does so in the name of a listener
        await asyncio.gather(*view._tasks)

    with visited() as document:
        asyncio.run(leave(document))


class Session:
    """What Bokeh's document knows of its visitor, until the visitor leaves."""

    request = SimpleNamespace(arguments={})


@contextmanager
def visited() -> Iterator[Document]:
    """A visitor's document, which belongs to a session."""
    document, session = Document(), Session()
    cast("Any", document)._session_context = weakref.ref(session)
    with set_curdoc(document):
        yield document


def test_nothing_is_said_about_trades_before_prices_are_read() -> None:
    assert "not read yet" in _headline("A", Reading(), Reading())


def test_an_empty_chart_is_loaded_with_the_first_bar(sources: Sources) -> None:
    chosen, end = Chosen("A", "10s"), OPENING - DAY
    view = View(sources, chosen)
    view._place(replace(history(sources, chosen, end), window=(end - DAY, end)), chosen)
    view.newest = newest_bars(sources, chosen, end)
    view._draw_changes()
    assert (view.closes(), view.asked) == ([], 0)
    view.newest = newest_bars(sources, chosen, OPENING + DAY)
    view._draw_changes()
    assert view.asked == 1


def test_a_symbol_that_rests_shows_its_last_trades(sources: Sources) -> None:
    chosen, now = Chosen("A", "1m"), OPENING + 9 * DAY
    view = View(sources, chosen)
    view._place(replace(history(sources, chosen, now), window=(now - SECOND, now)), chosen)
    since, until = view._chart.shown
    assert since < wall_ms(OPENING + MONDAY * DAY) < until
