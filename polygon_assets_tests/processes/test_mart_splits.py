"""Splits and adjusted prices, built over the real protocol: ratios, contradictions, jumps.

Other marts belong to test_marts.py, the reading of decisions to unit/batch/marts.
"""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection

from polygon_assets import market
from polygon_assets.batch import marts
from polygon_assets.batch.marts import MARTS, findings, queries
from polygon_assets.batch.marts.findings import SplitJump
from polygon_assets.batch.marts.split_decisions import SplitDecision
from polygon_assets.market import MarketError
from polygon_assets.settings import Settings
from polygon_assets_tests.parameters import first_few
from polygon_assets_tests.processes.warehouse_harness import (
    ask,
    build_all,
    clear,
    merge,
    merge_closes,
    split,
)

SERVERS = ("snowflake",)
THURSDAY, FRIDAY, MONDAY, TUESDAY = (dt.date(2026, 11, day) for day in (12, 13, 16, 17))
ADJUSTED = MARTS["daily_prices_adjusted"]


@pytest.fixture
def session(warehouse_session: SnowflakeConnection) -> SnowflakeConnection:
    """A session whose tables are empty."""
    clear(warehouse_session)
    return warehouse_session


def adjusted(session: SnowflakeConnection, symbol: str = "A") -> list[tuple[Any, ...]]:
    """Day, adjusted close and adjusted volume of each day."""
    return ask(
        session,
        f"SELECT trading_day, close, volume FROM {ADJUSTED.table} "
        f"WHERE ticker = '{symbol}' ORDER BY trading_day",
    )


def test_each_split_executed_since_multiplies_prices_and_divides_volume(
    session: SnowflakeConnection,
) -> None:
    """A 1 for 2 on Saturday, listed twice, a 3 for 1 on Monday, and one that is only announced."""
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 3),
        split("2", "A", "2026-11-14", 2, 1),
        split("2 again", "A", "2026-11-14", 2, 1),
        split("3", "A", "2026-11-18", 1, 100),
        split("4", "A", "2010-01-04", 1, 7),
        split("unusable", "A", "2026-11-16", 0, 1),
        split("5", "B", "2026-11-16", 1, 3),
        split("6", "B", "2026-11-17", 3, 1),
    )
    merge_closes(session, {THURSDAY: 7.77, FRIDAY: 3, MONDAY: 2, TUESDAY: 2.2})
    merge_closes(session, {FRIDAY: 7.77, MONDAY: 2.59, TUESDAY: 7.77}, "B")
    merge_closes(session, {FRIDAY: 3.14}, "C")
    build_all(session, THURSDAY, FRIDAY, MONDAY, TUESDAY)
    volume = Decimal("100.5")
    assert adjusted(session) == [
        (THURSDAY, 7.77 * 2 / 3, volume * 3 / 2),
        (FRIDAY, 2.0, volume * 3 / 2),
        (MONDAY, 2.0, volume),
        (TUESDAY, 2.2, volume),
    ]
    # A split and its reverse leave the price exactly as it was.
    assert [row[1] for row in adjusted(session, "B")] == [7.77, 2.59 * 3, 7.77]
    assert adjusted(session, "C") == [(FRIDAY, 3.14, volume)]


def test_python_reads_the_adjusted_days_and_the_splits_as_arrow(
    session: SnowflakeConnection, settings: Settings
) -> None:
    merge(session, "stock_split", split("1", "A", "2026-11-16", 1, 3))
    merge_closes(session, {MONDAY: 2, FRIDAY: 9})
    merge_closes(session, {FRIDAY: 5}, "B")
    build_all(session, FRIDAY, MONDAY)
    days = market.adjusted("A", settings).to_pylist()
    assert [(row["trading_day"], row["close"], row["price_factor"]) for row in days] == [
        (FRIDAY, 3.0, pytest.approx(1 / 3)),
        (MONDAY, 2.0, 1.0),
    ]
    assert market.splits("A", settings).to_pylist() == [
        {"execution_date": MONDAY, "split_from": 1.0, "split_to": 3.0, "status": "applied"}
    ]
    assert market.adjusted("NONE", settings).column_names[:2] == ["ticker", "trading_day"]


def test_previous_closes_are_in_the_shares_of_the_day(session: SnowflakeConnection) -> None:
    """A 1 for 3 on Monday, one that is only announced then, and one that nobody has decided."""
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 3),
        split("2", "B", "2026-11-17", 1, 2),
        split("3", "C", "2026-11-16", 1, 2),
        split("4", "C", "2026-11-16", 1, 5),
        split("5", "D", "2026-11-13", 1, 2),
    )
    merge_closes(session, {THURSDAY: 100, FRIDAY: 9})
    for symbol, close in {"B": 8.0, "C": 7.0, "D": 6.0}.items():
        merge_closes(session, {FRIDAY: close}, symbol)
    build_all(session, THURSDAY, FRIDAY)
    closes = queries.answer(session, "previous_closes", day=MONDAY).to_pylist()
    assert closes == [
        {"ticker": "A", "trading_day": FRIDAY, "close": pytest.approx(3.0)},
        {"ticker": "B", "trading_day": FRIDAY, "close": 8.0},
        {"ticker": "D", "trading_day": FRIDAY, "close": 6.0},
    ]
    tomorrow = queries.answer(session, "previous_closes", day=TUESDAY).to_pylist()
    assert [(row["ticker"], row["close"]) for row in tomorrow] == [
        ("A", pytest.approx(3.0)),
        ("B", pytest.approx(4.0)),
        ("D", 6.0),
    ]
    assert queries.answer(session, "previous_closes", day=THURSDAY).num_rows == 0


def test_marts_that_cannot_be_read_are_named_with_their_builder(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"snowflake_database": "NOWHERE"})
    with pytest.raises(MarketError, match=r"marts of NOWHERE .*: the assets snowflake/marts"):
        market.adjusted("A", elsewhere)


@pytest.mark.parametrize(
    "entries",
    first_few(
        3,
        [
            [(2, 3), (1, 1.5)],
            [(2, 3), (1, 1.4999)],
            [(2, 3), (4, 6), (1, 1.5)],
            [(1, 1.5), (2, 3)],
            [(2, 3), (0, 3)],
            [(2, 3), (-2, 3)],
            [(2, 3), (None, 3)],
            [(2, 3), (2, None)],
        ],
    ),
)
def test_entries_with_the_same_ratio_are_one_split(
    session: SnowflakeConnection, entries: list[tuple[Any, Any]]
) -> None:
    merge(
        session,
        "stock_split",
        *(split(str(n), "A", "2026-11-16", *ratio) for n, ratio in enumerate(entries)),
    )
    merge_closes(session, {FRIDAY: 30, MONDAY: 20})
    build_all(session, FRIDAY, MONDAY)
    assert [row[1] for row in adjusted(session)] == [20.0, 20.0]
    assert findings.undecided_splits(session) == []
    assert [jump.is_continuous for jump in findings.split_jumps(session, THURSDAY)] == [True]


CONTRADICTIONS: dict[str, list[tuple[str, Any, Any]]] = {
    "two ratios": [("2026-11-16", 1, 2), ("2026-11-16", 1, 5)],
    "a ratio and no split": [("2026-11-16", 1, 2), ("2026-11-16", 1, 1)],
    "a ratio and its reverse": [("2026-11-16", 1, 2), ("2026-11-16", 2, 1)],
    "three ratios of which two agree": [
        ("2026-11-16", 1, 2),
        ("2026-11-16", 2, 4),
        ("2026-11-16", 1, 3),
    ],
    "the same ratio a day later": [("2026-11-16", 1, 2), ("2026-11-17", 1, 2)],
    "the same ratio a day earlier, before the first bar": [
        ("2026-11-16", 1, 2),
        ("2026-11-11", 2, 4),
    ],
    "no usable ratio": [("2026-11-16", 0, 2)],
    "no ratio": [("2026-11-16", None, None)],
}


TYPICAL = ("two ratios", "the same ratio a day later", "no ratio")
"""Tried by `make test`, because each takes some seconds; CI tries all."""


@pytest.mark.parametrize(
    "contradiction",
    [
        name if name in TYPICAL else pytest.param(name, marks=pytest.mark.long)
        for name in CONTRADICTIONS
    ],
)
def test_contradictory_entries_keep_the_last_good_prices_until_a_decision(
    session: SnowflakeConnection, contradiction: str
) -> None:
    merge_closes(session, {THURSDAY: 40, FRIDAY: 41})
    merge_closes(session, {THURSDAY: 7, FRIDAY: 8}, "B")
    build_all(session, THURSDAY, FRIDAY)
    good = adjusted(session)
    merge(
        session,
        "stock_split",
        *(split(str(n), "A", *entry) for n, entry in enumerate(CONTRADICTIONS[contradiction])),
    )
    merge(session, "stock_split", split("b", "B", "2026-11-16", 1, 2))
    merge_closes(session, {MONDAY: 20, TUESDAY: 21})
    merge_closes(session, {MONDAY: 4, TUESDAY: 4}, "B")
    for _ in range(2):
        build_all(session, MONDAY, TUESDAY)
        assert adjusted(session) == good
        assert [row[1] for row in adjusted(session, "B")] == [3.5, 4.0, 4.0, 4.0]
        assert {
            (entry.ticker, entry.execution_date) for entry in findings.undecided_splits(session)
        } >= {("A", MONDAY)}
    others = {dt.date.fromisoformat(day) for day, *_ in CONTRADICTIONS[contradiction]} - {MONDAY}
    decisions = [
        SplitDecision("A", "2026-11-16", 1, 2),
        *(SplitDecision("A", str(day), 1, 1) for day in others),
    ]
    marts.build(session, MARTS["dim_stock_split"], decisions=decisions)
    marts.build(session, ADJUSTED)
    assert [row[1] for row in adjusted(session)] == [20.0, 20.5, 20.0, 21.0]
    assert findings.undecided_splits(session) == []


@pytest.mark.parametrize("ratio", [(1, 10), (None, 10)])
def test_a_split_without_a_day_keeps_the_last_good_prices_until_a_decision(
    session: SnowflakeConnection, ratio: tuple[Any, float]
) -> None:
    """The vendor's `"execution_date":"soon"` is null in RAW: the split may be on any day."""
    merge_closes(session, {THURSDAY: 400, FRIDAY: 400})
    merge_closes(session, {THURSDAY: 7, FRIDAY: 8}, "B")
    build_all(session, THURSDAY, FRIDAY)
    good = adjusted(session)
    undated = split("undated", "A", "2026-11-16", *ratio) | {"execution_date": None}
    merge(session, "stock_split", undated)
    merge_closes(session, {MONDAY: 40})
    merge_closes(session, {MONDAY: 9}, "B")
    build_all(session, MONDAY)
    assert adjusted(session) == good
    assert [row[1] for row in adjusted(session, "B")] == [7.0, 8.0, 9.0]
    [entry] = findings.undecided_splits(session)
    assert (entry.ticker, entry.execution_date, entry.split_id) == ("A", None, "undated")
    closes = queries.answer(session, "previous_closes", day=TUESDAY)
    assert closes["ticker"].to_pylist() == ["B"]
    decision = SplitDecision("A", "2026-11-16", 1, 10)
    marts.build(session, MARTS["dim_stock_split"], decisions=[decision])
    marts.build(session, ADJUSTED)
    assert [row[1] for row in adjusted(session)] == [40.0, 40.0, 40.0]
    assert findings.undecided_splits(session) == []


def test_one_decision_is_enough_for_one_split_on_two_days(session: SnowflakeConnection) -> None:
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 2),
        split("2", "A", "2026-11-17", 1, 2),
    )
    merge_closes(session, {FRIDAY: 40, MONDAY: 20, TUESDAY: 20})
    build_all(session, FRIDAY, MONDAY, TUESDAY)
    assert adjusted(session) == []
    marts.build(
        session, MARTS["dim_stock_split"], decisions=[SplitDecision("A", "2026-11-17", 1, 1)]
    )
    marts.build(session, ADJUSTED)
    assert [row[1] for row in adjusted(session)] == [20.0, 20.0, 20.0]


def test_a_contradiction_that_changes_no_loaded_price_stops_no_build(
    session: SnowflakeConnection,
) -> None:
    merge(
        session,
        "stock_split",
        *(
            split(f"{day}{n}", "A", day, 1, n)
            for day in ("2010-01-04", "2026-12-01")
            for n in (2, 3)
        ),
    )
    merge_closes(session, {FRIDAY: 40, MONDAY: 41})
    build_all(session, FRIDAY, MONDAY)
    assert [row[1] for row in adjusted(session)] == [40.0, 41.0]
    assert findings.undecided_splits(session) == []
    assert ask(session, "SELECT DISTINCT status FROM MARTS.DIM_STOCK_SPLIT") == [("undecided",)]


def test_a_split_changes_earlier_prices_only_once_its_day_is_loaded(
    session: SnowflakeConnection,
) -> None:
    merge(session, "stock_split", split("1", "A", "2026-11-16", 1, 2))
    merge_closes(session, {FRIDAY: 20})
    build_all(session, FRIDAY)
    assert [row[1] for row in adjusted(session)] == [20.0]
    merge_closes(session, {MONDAY: 10})
    build_all(session, MONDAY)
    assert [row[1] for row in adjusted(session)] == [10.0, 10.0]


def test_a_split_that_is_not_applied_or_applied_twice_is_not_continuous(
    session: SnowflakeConnection,
) -> None:
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 4),
        split("2", "B", "2026-11-16", 100, 101),
        split("3", "C", "2026-11-16", 1, 2),
    )
    merge_closes(session, {FRIDAY: 40, MONDAY: 11})
    merge_closes(session, {FRIDAY: 40, MONDAY: 30}, "B")
    merge_closes(session, {FRIDAY: 40, MONDAY: 40}, "C")
    build_all(session, FRIDAY, MONDAY)
    jumps = {jump.ticker: jump for jump in findings.split_jumps(session, THURSDAY)}
    assert (
        jumps["A"].price_factor,
        jumps["A"].adjusted_jump,
        jumps["A"].unadjusted_jump,
    ) == pytest.approx((0.25, 0.1, -0.725))
    assert {name: jump.is_continuous for name, jump in jumps.items()} == {
        "A": True,
        "B": False,
        "C": False,
    }
    assert not SplitJump(
        "A", MONDAY, 0.25, adjusted_jump=-0.725, unadjusted_jump=-0.725
    ).is_continuous
    assert findings.split_jumps(session, TUESDAY) == []


@pytest.mark.parametrize(
    "published", first_few(2, [(10, 11), (1, 2), (1, 5), (1, 20), (10, 1), (100, 101)])
)
def test_an_entry_that_is_smaller_or_larger_than_the_true_split_leaves_a_jump(
    session: SnowflakeConnection, published: tuple[int, int]
) -> None:
    """The true split is 10 for 1."""
    merge(session, "stock_split", split("1", "A", "2026-11-16", *published))
    merge_closes(session, {FRIDAY: 400, MONDAY: 40})
    build_all(session, FRIDAY, MONDAY)
    [jump] = findings.split_jumps(session, THURSDAY)
    assert not jump.is_continuous


def test_a_split_next_to_a_price_of_zero_is_not_judged(session: SnowflakeConnection) -> None:
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 4),
        split("2", "B", "2026-11-16", 1, 4),
    )
    merge_closes(session, {FRIDAY: 40, MONDAY: 0})
    merge_closes(session, {FRIDAY: 0, MONDAY: 10}, "B")
    build_all(session, FRIDAY, MONDAY)
    assert findings.split_jumps(session, THURSDAY) == []
