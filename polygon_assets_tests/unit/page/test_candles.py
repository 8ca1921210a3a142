"""Candles as columns: marks, changes, New York's time, gaps and splits."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.page.candles import (
    DOWN,
    NAMES,
    SAME,
    UP,
    changes,
    columns_of,
    columns_of_days,
    joined,
    last_closes,
    moment_of,
    shaded,
    split_marks,
    wall_ms,
)

OPENING = dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
NYSE = MarketCalendar("NYSE")


def bar(minute: int = 0, **changes: Any) -> dict[str, Any]:
    plain = {
        "start": OPENING + minute * MINUTE,
        **{"open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0, "volume": Decimal("1.5")},
        **{"seconds_from_rest": 0, "revisions": 0, "finality": "final"},
    }
    return plain | changes


def table(*bars: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(bars))


def test_the_axis_shows_new_yorks_wall_time() -> None:
    shown = dt.datetime.fromtimestamp(wall_ms(OPENING) / 1000, dt.UTC)
    assert (shown.hour, shown.minute) == (9, 30)
    assert moment_of(wall_ms(OPENING)) == OPENING


@pytest.mark.parametrize(("close", "color"), [(2.0, UP), (0.9, DOWN), (1.0, SAME)])
def test_a_candle_has_the_colour_of_its_direction(close: float, color: str) -> None:
    assert columns_of(table(bar(close=close)))["color"] == [color]


@pytest.mark.parametrize(
    ("facts", "mark"),
    [
        ({}, ""),
        ({"seconds_from_rest": 2}, "filled"),
        ({"revisions": 1}, "corrected"),
        ({"seconds_from_rest": 1, "revisions": 1}, "filled and corrected"),
    ],
)
def test_filled_and_corrected_bars_are_marked(facts: dict[str, int], mark: str) -> None:
    columns = columns_of(table(bar(**facts)))
    assert columns["mark"] == [mark]
    assert math.isnan(columns["mark_at"][0]) == (not mark)


def test_a_day_on_which_the_clocks_change_keeps_new_yorks_time() -> None:
    night = dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC)
    moments = [night + half * 30 * MINUTE for half in range(6)]
    columns = columns_of(table(*[bar(start=moment) for moment in moments]))
    assert columns["start"] == [wall_ms(moment) for moment in moments]
    assert columns_of(table(bar()).slice(0, 0)) == {name: [] for name in NAMES}


def test_an_unknown_price_or_finality_is_no_error() -> None:
    columns = columns_of(table(bar(), bar(1, close=None, revisions=None, finality=None)))
    assert math.isnan(columns["close"][1])
    assert (columns["color"][1], columns["mark"][1]) == (SAME, "")
    assert columns["label"] == ["final", "not known any more"]


def test_only_what_changed_is_sent_to_the_browser() -> None:
    known = columns_of(table(bar(0), bar(1)))
    newest = columns_of(table(bar(1, close=0.7), bar(2)))
    change = changes(known, newest)
    assert change.patches == {"close": [(1, 0.7)], "color": [(1, DOWN)]}
    assert change.added["start"] == [wall_ms(OPENING + 2 * MINUTE)]
    assert changes(known, known).patches == {}
    assert changes(known, known).added == {name: [] for name in NAMES}


def test_a_late_bar_between_known_ones_waits_for_the_next_load() -> None:
    known = columns_of(table(bar(0), bar(2)))
    change = changes(known, columns_of(table(bar(1), bar(2))))
    assert (change.patches, change.added["start"]) == ({}, [])


def test_older_candles_come_before_newer_ones_without_repetition() -> None:
    older, newer = columns_of(table(bar(0), bar(1))), columns_of(table(bar(1, close=9.0), bar(2)))
    both = joined(older, newer)
    assert both["start"] == [wall_ms(OPENING + minute * MINUTE) for minute in range(3)]
    assert both["close"] == [2.0, 9.0, 2.0]


def test_gaps_of_the_channel_or_of_all_are_shaded() -> None:
    def gap(channels: list[str], state: str = "open") -> dict[str, Any]:
        until = OPENING + 5 * MINUTE
        return {
            "since": OPENING,
            "until": until,
            "channels": channels,
            "state": state,
            "cause": "x",
        }

    gaps = [gap(["A.AAPL"]), gap([], "verified"), gap(["A.*"]), gap(["A.MSFT"])]
    around = wall_ms(OPENING - MINUTE), wall_ms(OPENING + 9 * MINUTE)
    assert shaded(gaps, "A.AAPL", *around)["label"] == ["x: open", "x: verified", "x: open"]
    assert shaded(gaps, "A.AAPL", around[1], around[1] + 1)["label"] == []


def test_an_earlier_knowledge_is_the_last_close_of_each_candle() -> None:
    seconds = [
        {"start_timestamp": OPENING + at * dt.timedelta(seconds=1), "close": close}
        for at, close in ((0, 1.0), (9, 2.0), (10, 3.0))
    ]
    start = wall_ms(OPENING)
    known = last_closes(table(*seconds), 10)
    assert known == {"start": [start, start + 10_000], "close": [2.0, 3.0]}


def test_days_stand_at_their_regular_open_and_splits_at_theirs() -> None:
    prices = {"open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 9.0}
    days = table({"trading_day": dt.date(2026, 11, 20), **prices})
    assert columns_of_days(days, NYSE)["start"] == [wall_ms(OPENING)]
    day = {"execution_date": dt.date(2026, 11, 20)}
    split = {**day, "split_from": 1.0, "split_to": 3.0, "status": "applied"}
    unknown = [split | {name: None} for name in ("execution_date", "split_from")]
    others = [split | {"status": status} for status in ("repeated", "overruled", "undecided")]
    old = split | {"execution_date": dt.date(1987, 6, 16)}
    assert split_marks(table(split, *unknown, *others, old), NYSE) == {
        "at": [wall_ms(OPENING)],
        "label": ["3 for 1"],
    }
