"""Which candles are drawn: neighbours that share a pixel become one, and a chart stays exact."""

import datetime as dt
import math
import random
from typing import Any, cast

import numpy as np
import pytest

from polygon_assets.page import drawn_candles
from polygon_assets.page.candle_chart import CandleChart
from polygon_assets.page.candles import DOWN, NAMES, UP, Columns, changes
from polygon_assets.page.drawn_candles import MOST_VISIBLE, merged, part_of, step_of

SECOND = 1000.0
MIDNIGHT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp() * 1000
CANDLE = {
    **{"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 10.0, "count": 1.0},
    **{"color": UP, "mark": "", "mark_at": math.nan, "label": "final"},
}


def columns(*candles: dict[str, Any]) -> Columns:
    return {name: [(CANDLE | candle)[name] for candle in candles] for name in NAMES}


def seconds(places: range, **candle: Any) -> Columns:
    return columns(*({"start": MIDNIGHT + SECOND * at, **candle} for at in places))


def walk(places: range) -> Columns:
    """Candles whose prices differ from each other."""
    draw = np.random.Generator(np.random.PCG64(len(places)))
    prices = draw.uniform(1, 100, (len(places), 3))
    return columns(
        *(
            {
                **{"start": MIDNIGHT + SECOND * at, "open": first, "close": last, "volume": size},
                **{"high": max(first, last), "low": min(first, last)},
            }
            for at, (first, last, size) in zip(places, prices.tolist(), strict=True)
        )
    )


def shown(columns: Columns) -> tuple[float, float]:
    return columns["start"][0], columns["start"][-1]


def test_candles_are_drawn_one_by_one_until_there_are_too_many() -> None:
    day = seconds(range(10 * MOST_VISIBLE))
    few, many = (part_of(day, MIDNIGHT, MIDNIGHT + SECOND * (MOST_VISIBLE + n)) for n in (0, 1))
    assert step_of(few["start"], shown(few), SECOND) == 1
    assert step_of(many["start"], shown(many), SECOND) == 1, "exactly 4,000 places"
    assert step_of(day["start"], shown(day), SECOND) == 10
    assert step_of([], (0.0, 1.0), SECOND) == 1


@pytest.mark.parametrize("every", [1, 2, 7, 40])
def test_at_most_four_thousand_are_drawn_of_a_symbol_that_trades_now_and_then(every: int) -> None:
    columns = seconds(range(0, every * 90_000, every))
    step = step_of(columns["start"], shown(columns), SECOND)
    drawn = merged(columns, step * SECOND)
    assert MOST_VISIBLE / 3 < len(drawn["start"]) <= MOST_VISIBLE + 1
    assert sum(drawn["volume"]) == sum(columns["volume"])


def test_a_chart_that_follows_the_market_does_not_change_its_look_each_second() -> None:
    columns = seconds(range(0, 9_000, 2))
    since, until = shown(columns)
    step = step_of(columns["start"], (since, until), SECOND)
    assert step > 1
    fewer = since + SECOND * 1_200, until
    assert step_of(columns["start"], fewer, SECOND) == 1
    assert step_of(columns["start"], fewer, SECOND, before=step) == 2


def test_one_candle_tells_of_all_that_it_stands_for() -> None:
    corrected, filled = ({"mark": mark, "mark_at": 7.0} for mark in ("corrected", "filled"))
    four = columns(
        {"start": MIDNIGHT + 2 * SECOND, "open": 9.0, "high": 9.5, **corrected},
        {"start": MIDNIGHT + 4 * SECOND, "low": 0.5, **filled},
        {"start": MIDNIGHT + 9 * SECOND, "close": 4.0, "label": "provisional"},
        {"start": MIDNIGHT + 10 * SECOND, "close": 8.0},
    )
    one, other = zip(*merged(four, 10 * SECOND).values(), strict=True)
    assert dict(zip(NAMES, one, strict=True)) == {
        **{"start": MIDNIGHT + 2 * SECOND, "open": 9.0, "high": 9.5, "low": 0.5, "close": 4.0},
        **{"volume": 30.0, "color": DOWN, "mark": "filled and corrected", "mark_at": 7.0},
        **{"label": "provisional", "count": 3.0},
    }
    assert dict(zip(NAMES, other, strict=True))["close"] == 8.0


@pytest.mark.parametrize("unknown", [{0}, {1}, {0, 1}, {2, 3}, {0, 1, 2, 3}])
def test_an_unknown_price_never_becomes_another_interval_s(unknown: set[int]) -> None:
    nothing = dict.fromkeys(("open", "high", "low", "close", "volume"), math.nan)
    candles = [
        {"start": MIDNIGHT + SECOND * at, "open": 1.0 + at, "close": 2.0 + at}
        | (nothing if at in unknown else {})
        for at in range(4)
    ]
    shown = merged(columns(*candles), 2 * SECOND)
    for place, pair in enumerate((candles[:2], candles[2:])):
        opens = [candle["open"] for candle in pair if not math.isnan(candle["open"])]
        closes = [candle["close"] for candle in pair if not math.isnan(candle["close"])]
        expected = opens[0] if opens else math.nan, closes[-1] if closes else math.nan
        np.testing.assert_equal((shown["open"][place], shown["close"][place]), expected)
        assert shown["volume"][place] == 10.0 * len(opens)


def assert_draws_as(other: CandleChart, chart: CandleChart) -> None:
    """The visible candles are those of another chart that places them at once."""
    other.step = chart.step
    other.place(chart.loaded, SECOND, chart.shown)
    assert chart.step == other.step
    drawn, expected = (_visible(each) for each in (chart, other))
    for name in NAMES:
        np.testing.assert_array_equal(drawn[name], expected[name], name)
    if drawn["start"]:
        assert chart.price.y_range.start == other.price.y_range.start


def _visible(chart: CandleChart) -> Columns:
    """The candles whose interval is visible, as a whole or in part."""
    drawn, (since, until) = cast("Columns", chart.source.data), chart.shown
    width = SECOND * chart.step
    places = [
        place
        for place, start in enumerate(drawn["start"])
        if since < start // width * width + width and start // width * width < until
    ]
    return {name: [drawn[name][place] for place in places] for name in NAMES}


def test_a_day_of_seconds_is_a_few_thousand_candles_with_every_price_and_share() -> None:
    chart, day = CandleChart(dark=False), walk(range(69_000))
    chart.place(day, SECOND, (day["start"][0], day["start"][-1]))
    drawn = cast("Columns", chart.source.data)
    assert len(drawn["start"]) <= MOST_VISIBLE
    assert (max(drawn["high"]), min(drawn["low"])) == (max(day["high"]), min(day["low"]))
    assert sum(drawn["volume"]) == pytest.approx(sum(day["volume"]))
    assert sum(drawn["count"]) == 69_000
    chart.range.update(start=day["start"][40_000], end=day["start"][40_116])
    chart.look()
    drawn = cast("Columns", chart.source.data)
    first = list(drawn["start"]).index(day["start"][40_000])
    assert list(drawn["close"][first : first + 117]) == day["close"][40_000:40_117]


OPERATIONS = ("new", "changed", "pan", "zoom", "prepend", "refresh")


@pytest.fixture
def _few_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than forty are already too many, so that small charts have merged candles, too."""
    monkeypatch.setattr(drawn_candles, "MOST_VISIBLE", 40)


@pytest.mark.usefixtures("_few_visible")
@pytest.mark.parametrize("seed", [*range(8), 36, 46, 87, 154, 161, 170, 180])
def test_whatever_comes_the_browser_has_what_is_visible(seed: int) -> None:
    draw, begin, end = random.Random(seed), 5_940, 6_000
    everything = walk(range(12_000))

    def part(first: int, last: int, **changed: float) -> Columns:
        plain = {name: everything[name][first:last] for name in NAMES}
        return plain | {name: [value] * (last - first) for name, value in changed.items()}

    chart = CandleChart(dark=False)
    chart.place(part(begin, end), SECOND, (MIDNIGHT + SECOND * (end - 20), MIDNIGHT + SECOND * end))
    other = CandleChart(dark=False)
    for _ in range(60):
        step, size = draw.choice(OPERATIONS), draw.randrange(90)
        since, until = chart.shown
        if step == "new":
            chart.change(changes(chart.loaded, part(end - 3, end + size)))
            end += size
        elif step == "changed":
            chart.change(changes(chart.loaded, part(end - 3, end, high=200.0 + size)))
        elif step == "pan":
            moved = SECOND * draw.choice((-size, size))
            chart.range.update(start=since + moved, end=until + moved)
            chart.look()
        elif step == "zoom":
            chart.range.update(start=until - SECOND * (1 + size))
            chart.look()
        elif step == "prepend":
            chart.prepend(part(begin - size, begin))
            begin -= size
        else:
            chart.refresh(part(end - 1 - min(size, end - begin - 1), end, low=0.5))
        assert_draws_as(other, chart)
