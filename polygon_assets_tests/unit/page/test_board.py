"""The board of all symbols, and the lines about its age and the market's clock."""

import datetime as dt
import math
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.page.board import board, changes
from polygon_assets.page.frame import age_line, clock_line
from polygon_assets.page.readings import Reading

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


SCHEMA = pa.schema(
    {
        "symbol": pa.string(),
        "last_timestamp": pa.timestamp("ms", "UTC"),
        "close": pa.float64(),
        "accumulated_volume": pa.decimal128(38, 6),
    }
)


def last(symbol: str, age: float, volume: Decimal | None = Decimal(10)) -> dict[str, object]:
    return {
        "symbol": symbol,
        "last_timestamp": NOW - age * SECOND,
        "close": 110.0,
        "accumulated_volume": volume,
    }


def test_each_symbol_has_its_price_change_volume_age_and_finality() -> None:
    rows = [last("A", 2.4), last("B", 902, None)]
    frame = board(pa.Table.from_pylist(rows, SCHEMA), {"A": 100.0}, [], NOW)
    first, second = frame.to_dict("records")
    assert first == {
        **{"symbol": "A", "last": 110.0, "change %": 10.0, "volume": 10.0, "age s": 2.0},
        "finality": "provisional",
    }
    assert math.isnan(second["change %"])
    assert math.isnan(second["volume"])
    assert second["finality"] == "settled"


def test_patches_turn_one_board_into_the_next() -> None:
    def at(rows: list[dict[str, object]], seconds: float) -> pd.DataFrame:
        return board(pa.Table.from_pylist(rows, SCHEMA), {}, [], NOW + seconds * SECOND)

    before = at([last("A", 899.5), last("B", 3, None)], 0)
    after = at([last("A", 899.5), last("B", 1, Decimal(7))], 2)
    patches = changes(before, after)
    assert patches is not None
    assert set(patches) == {"volume", "age s", "finality"}
    assert patches["finality"] == [(0, "settled")]
    patched = before.copy()
    for name, parts in patches.items():
        for rows, values in parts:
            patched.loc[patched.index[rows], name] = values
    assert patched.equals(after)
    assert changes(after, after) == {}


def test_a_new_symbol_makes_a_new_board() -> None:
    one = board(pa.Table.from_pylist([last("A", 1)], SCHEMA), {}, [], NOW)
    two = board(pa.Table.from_pylist([last("A", 1), last("B", 1)], SCHEMA), {}, [], NOW)
    other = board(pa.Table.from_pylist([last("B", 1)], SCHEMA), {}, [], NOW)
    assert (changes(one, two), changes(one, other)) == (None, None)


@pytest.mark.parametrize(
    ("changed", "finality"),
    [
        ({}, "provisional"),
        ({"channels": ["A.A"]}, "provisional"),
        ({"channels": []}, "provisional"),
        ({"channels": ["A.B"]}, "settled"),
        ({"state": "filled"}, "provisional"),
        ({"state": "verified"}, "settled"),
        ({"state": "waived"}, "settled"),
        ({"until": NOW - 2000 * SECOND}, "settled"),
        ({"since": NOW - 1100 * SECOND}, "provisional"),
        ({"since": NOW - 1000 * SECOND}, "settled"),
    ],
)
def test_an_unsettled_gap_keeps_a_price_provisional(
    changed: dict[str, object], finality: str
) -> None:
    gap = {
        **{"since": NOW - 3000 * SECOND, "until": NOW - 900 * SECOND},
        **{"channels": ["A.*"], "state": "open"},
    }
    rows = pa.Table.from_pylist([last("A", 2000)], SCHEMA)
    assert board(rows, {}, [gap | changed], NOW)["finality"].to_list() == [finality]


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2026-11-20T15:00", "Fri 10:00:00 New York · regular hours · close 16:00"),
        ("2026-11-27T15:00", "regular hours · close 13:00, an early close"),
        ("2026-11-20T12:00", "pre-market"),
        ("2026-11-20T22:00", "post-market"),
        ("2026-11-26T15:00", "closed · opens Fri Nov 27 04:00"),
    ],
)
def test_the_clock_names_session_close_and_next_open(moment: str, shown: str) -> None:
    now = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    assert shown in clock_line(MarketCalendar("NYSE"), now)


def test_a_panel_says_how_old_it_is_and_what_to_do() -> None:
    assert "3 s old" in age_line(Reading(1, NOW), NOW + 3 * SECOND, "cure")
    away = age_line(Reading(1, NOW, "ClickHouse <is> away"), NOW + 9 * SECOND, "cure")
    assert "9 s old: ClickHouse &lt;is&gt; away. cure" in away
    assert 'role="alert"' in away
    assert "no answer yet" in age_line(Reading(), NOW, "cure")
