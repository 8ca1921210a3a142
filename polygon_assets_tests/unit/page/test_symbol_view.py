"""The candles of one symbol: history across nights, and days that the marts have adjusted."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets import market
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.page.candles import moment_of, wall_ms
from polygon_assets.page.readings import Reading
from polygon_assets.page.sources import Sources
from polygon_assets.page.symbol_view import (
    LOADED_BARS,
    Chosen,
    SymbolView,
    _moment,
    _streamed,
    coverage_line,
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


@pytest.mark.parametrize(
    ("every", "span", "begins"),
    [
        ("10s", "recent", dt.timedelta(minutes=-20)),
        ("1s", "1 hour", dt.timedelta(hours=-1)),
        ("1m", "1 hour", dt.timedelta(hours=-2)),
        ("1s", "day", dt.timedelta(hours=-8)),
        ("1m", "day", dt.timedelta(hours=-8)),
        ("1d", "day", dt.timedelta(days=-120)),
    ],
)
def test_a_span_is_an_hour_the_day_so_far_or_some_bars(
    every: str, span: str, begins: dt.timedelta
) -> None:
    noon = OPENING + dt.timedelta(hours=2.5)
    chosen = Chosen("A", every, span=span)
    assert chosen.begins(MarketCalendar("NYSE"), noon) == noon + begins


def test_a_day_of_seconds_is_loaded_at_once(client: Client, settings: Settings) -> None:
    insert(client, [second(0, at, 1.0) for at in range(0, 7_200, 3)])
    sources = Sources(settings.model_copy(update={"market_calendar": "NYSE"}))
    chosen, end = Chosen("A", "1s", span="day"), OPENING + 7_200 * SECOND
    assert len(history(sources, chosen, end).candles["start"]) == LOADED_BARS // 3
    whole = history(sources, chosen, end, chosen.begins(MarketCalendar("NYSE"), end))
    assert len(whole.candles["start"]) == 2_400
    view = View(sources, chosen)
    view._place(whole, chosen, end)
    assert view._chart.shown[0] == wall_ms(OPENING - dt.timedelta(hours=5.5)) + 4_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-08T14:30:00Z", OPENING),
        ("2024-03-08T14:30", OPENING),
        ("2024-03-08 09:30:00-05:00", OPENING),
        ("2024-03-08T14:30:00 00:00", OPENING),
        ("yesterday", None),
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
    view._place(history(sources, chosen, end), chosen, end)
    assert view.closes() == [0.5, 3.0]
    insert(client, [second(MONDAY, 6, 4.0)])
    view.newest = _streamed(sources, chosen, end)
    assert view.newest["close"].to_pylist() == [1.0, 4.0]
    view._draw_changes()
    assert view.closes() == [0.5, 4.0]


def test_an_empty_chart_is_loaded_with_the_first_bar(sources: Sources) -> None:
    chosen, end = Chosen("A", "10s"), OPENING - DAY
    view = View(sources, chosen)
    view._place(history(sources, chosen, end), chosen, end)
    view.newest = _streamed(sources, chosen, end)
    view._draw_changes()
    assert (view.closes(), view.asked) == ([], 0)
    view.newest = _streamed(sources, chosen, OPENING + DAY)
    view._draw_changes()
    assert view.asked == 1


def test_a_symbol_that_rests_shows_its_last_trades(sources: Sources) -> None:
    chosen, now = Chosen("A", "1m"), OPENING + 9 * DAY
    view = View(sources, chosen)
    view._place(history(sources, chosen, now), chosen, now)
    since, until = view._chart.shown
    assert since < wall_ms(OPENING + MONDAY * DAY) < until
