"""The candles of one symbol: history across nights, and days that the marts have adjusted."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets import market
from polygon_assets.market import Connection, MarketError
from polygon_assets.page.candles import columns_of, moment_of, wall_ms
from polygon_assets.page.readings import Reading
from polygon_assets.page.sources import Sources
from polygon_assets.page.symbol_view import (
    LOADED_BARS,
    Chosen,
    SymbolView,
    _moment,
    _streamed,
    coverage_line,
    first_history,
    history,
)
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


NOON = OPENING + dt.timedelta(hours=2.5)


@pytest.fixture
def at_noon(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A connection on whose clock it is noon of Friday in New York."""
    monkeypatch.setattr(Connection, "now", lambda _: NOON)
    with market.connect(sources.settings) as connection:
        yield connection


@pytest.mark.parametrize(
    ("every", "span", "begins"),
    [
        ("10s", "recent", dt.timedelta(seconds=-1160)),
        ("1s", "1 hour", dt.timedelta(hours=-1)),
        ("1m", "1 hour", dt.timedelta(hours=-1)),
        ("1s", "day", dt.timedelta(hours=-8)),
        ("1m", "day", dt.timedelta(hours=-8)),
        ("1d", "day", dt.timedelta(days=-116)),
    ],
)
def test_a_span_is_an_hour_the_day_so_far_or_some_bars(
    at_noon: Connection, every: str, span: str, begins: dt.timedelta
) -> None:
    assert Chosen("A", every, span=span).window(at_noon) == (NOON + begins, NOON)


@pytest.mark.parametrize(
    "days_ago", [NOON - 5 * DAY, NOON - 6 * DAY, NOON - 4 * DAY - dt.timedelta(hours=9)], ids=str
)
def test_before_the_open_and_on_a_closed_day_the_day_is_the_one_before(
    at_noon: Connection, days_ago: dt.datetime
) -> None:
    """Sunday, Saturday, and Monday at three in the morning."""
    begin, end = Chosen("A", "1s", days_ago, "day").window(at_noon)
    friday = NOON - 7 * DAY
    assert (begin, end) == (friday - dt.timedelta(hours=8), friday + dt.timedelta(hours=8))


def test_a_day_beyond_the_calendar_is_a_sentence(at_noon: Connection) -> None:
    old = dt.datetime(1999, 1, 4, 15, tzinfo=dt.UTC)
    with pytest.raises(MarketError, match="1999"):
        Chosen("A", "1s", old, "day").window(at_noon)


@pytest.mark.usefixtures("at_noon")
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


def test_a_visible_candle_without_prices_leaves_the_axis_alone(sources: Sources) -> None:
    chart = View(sources, Chosen("A", "1m"))._chart
    known = {"start": OPENING, "open": 1.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 1.0}
    unknown = {"start": OPENING + 60 * SECOND} | dict.fromkeys(("open", "high", "low", "close"))
    rows = [known | {"finality": "final"}, unknown | {"volume": 1.0, "finality": "final"}]
    schema = pa.Table.from_pylist(rows[:1]).schema
    columns = columns_of(pa.Table.from_pylist(rows, schema))
    chart.place(columns, 60_000, (wall_ms(OPENING), wall_ms(OPENING + 60 * SECOND)))
    assert (chart.price.y_range.start, chart.price.y_range.end) == (1 - 0.12, 3 + 0.12)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-08T14:30:00Z", OPENING),
        ("2024-03-08T14:30", OPENING),
        ("2024-03-08 09:30:00-05:00", OPENING),
        ("2024-03-08T14:30:00 00:00", OPENING),
        ("yesterday", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("", None),
    ],
)
def test_the_moment_in_an_address_may_have_any_form_of_iso_8601(
    text: str, moment: dt.datetime | None
) -> None:
    assert _moment(text) == moment


def test_the_days_seconds_are_traded_quiet_or_unknown() -> None:
    parts = (("traded", 3), ("quiet", 5), ("traded", 1_000), ("unknown", 7))
    intervals = [{"status": status, "seconds": seconds} for status, seconds in parts]
    line = coverage_line(pa.Table.from_pylist(intervals))
    assert "1,003 s with a trade, 5 s quiet (proved), 7 s not known" in line


class View(SymbolView):
    """The view outside of a page; `newest` are the bars that all who look at the symbol get."""

    newest: pa.Table | None = None
    asked = 0

    def __init__(self, sources: Sources, chosen: Chosen) -> None:
        super().__init__(sources, chosen.symbol)
        self._chosen = chosen

    def _reading(self) -> Reading[pa.Table]:
        return Reading(self.newest)

    def _ask(self, *_: object) -> None:
        self.asked += 1

    def closes(self) -> list[float]:
        return list(self._chart.drawn["close"])


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
    view.newest = _streamed(sources, chosen, end)
    assert view.newest["close"].to_pylist() == [1.0, 4.0]
    view._draw_changes()
    assert view.closes() == [0.5, 4.0]


def test_an_empty_chart_is_loaded_with_the_first_bar(sources: Sources) -> None:
    chosen, end = Chosen("A", "10s"), OPENING - DAY
    view = View(sources, chosen)
    view._place(replace(history(sources, chosen, end), window=(end - DAY, end)), chosen)
    view.newest = _streamed(sources, chosen, end)
    view._draw_changes()
    assert (view.closes(), view.asked) == ([], 0)
    view.newest = _streamed(sources, chosen, OPENING + DAY)
    view._draw_changes()
    assert view.asked == 1


def test_a_symbol_that_rests_shows_its_last_trades(sources: Sources) -> None:
    chosen, now = Chosen("A", "1m"), OPENING + 9 * DAY
    view = View(sources, chosen)
    view._place(replace(history(sources, chosen, now), window=(now - SECOND, now)), chosen)
    since, until = view._chart.shown
    assert since < wall_ms(OPENING + MONDAY * DAY) < until
