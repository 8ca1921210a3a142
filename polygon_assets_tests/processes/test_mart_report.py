"""What is read off the marts: the report, the comparison with the stream, and findings.

How dimensions and facts are built belongs to test_marts.py.
"""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection

from polygon_assets.batch import day_comparison, marts, reconciliation
from polygon_assets.batch.marts import MARTS, findings, queries
from polygon_assets.batch.marts.findings import Finding
from polygon_assets.batch.raw.staging import RowError
from polygon_assets.batch.reconciliation import DayBar, Verdict
from polygon_assets_tests.processes.warehouse_harness import (
    AT,
    ask,
    bar,
    build_all,
    clear,
    merge,
    merge_closes,
    split,
    ticker,
)

SERVERS = ("snowflake",)
THURSDAY, FRIDAY, MONDAY, TUESDAY = (dt.date(2026, 11, day) for day in (12, 13, 16, 17))
FACT, REPORT = MARTS["fact_daily_trading"], MARTS["report_tickers"]


@pytest.fixture
def session(warehouse_session: SnowflakeConnection) -> SnowflakeConnection:
    """A session whose tables are empty."""
    clear(warehouse_session)
    return warehouse_session


def test_the_report_has_last_change_averages_and_extremes_of_each_active_ticker(
    session: SnowflakeConnection,
) -> None:
    merge(session, "tickers", ticker("A"), ticker("new"), ticker("gone", active=False))
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 4),
        split("2", "A", "2026-12-01", 1, 2),
    )
    merge_closes(session, {THURSDAY: 40, FRIDAY: 80, MONDAY: 22})
    merge_closes(session, {TUESDAY: 1}, "gone")
    build_all(session, THURSDAY, FRIDAY, MONDAY, TUESDAY)
    rows = ask(
        session,
        "SELECT ticker, last_trading_day, last_close, previous_close, round(change_percent, 6), "
        "average_volume_20, high_252, low_252, last_split_day, last_split_from, last_split_to "
        f"FROM {REPORT.table} ORDER BY ticker",
    )
    average = (100.5 * 4 + 100.5 * 4 + 100.5) / 3
    assert rows == [
        ("A", MONDAY, 22.0, 20.0, 10.0, average, 22.0, 10.0, MONDAY, 1.0, 4.0),
        ("new", *[None] * 10),
    ]


def test_windows_of_the_report_count_the_markets_sessions(session: SnowflakeConnection) -> None:
    merge(session, "tickers", ticker("A"), ticker("B"))
    first = dt.date(2025, 1, 1)
    days = [first + dt.timedelta(number) for number in range(260)]
    merge_closes(session, {day: 1 + number for number, day in enumerate(days)})
    merge(
        session,
        "grouped_daily",
        bar("B", days[-30].isoformat(), volume="1"),
        bar("B", days[-1].isoformat(), volume="9"),
    )
    # One statement fills the fact table: 260 transactions would prove no more.
    marts.build(session, FACT, first)
    ask(
        session,
        f"INSERT INTO {FACT.table} (ticker, trading_day, open, high, low, close, volume) "
        "SELECT ticker, date, open, high, low, close, volume::NUMBER(28, 6) "
        f"FROM RAW.GROUPED_DAILY WHERE date > '{first}'",
    )
    build_all(session)
    assert ask(
        session,
        f"SELECT ticker, high_252, low_252, average_volume_20 FROM {REPORT.table} ORDER BY ticker",
    ) == [
        ("A", 260.0, 9.0, 100.5),
        ("B", 10.0, 10.0, 9.0),
    ]


def comparison(day: dt.date, symbol: str, **changes: Any) -> dict[str, Any]:
    return {"trading_day": day, "symbol": symbol, "verdict": "match", "compared_at": AT, **changes}


def test_compared_rows_replace_their_day(session: SnowflakeConnection) -> None:
    mart = MARTS["stream_vs_batch"]
    drift = comparison(
        FRIDAY,
        "A",
        verdict="drift",
        stream_volume=Decimal("1.000001"),
        volume_drift=-0.5,
        different_minutes="10:31-10:33",
    )
    assert marts.replace_day(session, mart, THURSDAY, [comparison(THURSDAY, "A")]) == 1
    assert (
        marts.replace_day(session, mart, FRIDAY, [comparison(FRIDAY, "A"), comparison(FRIDAY, "B")])
        == 2
    )
    assert marts.replace_day(session, mart, FRIDAY, [drift]) == 1
    columns = (
        "trading_day, symbol, verdict, stream_open, stream_volume, volume_drift, "
        "different_minutes, compared_at"
    )
    assert ask(session, f"SELECT {columns} FROM {mart.table} ORDER BY 1") == [
        (THURSDAY, "A", "match", None, None, None, None, AT),
        (FRIDAY, "A", "drift", None, Decimal("1.000001"), -0.5, "10:31-10:33", AT),
    ]
    counts = queries.answer(session, "compared_days").to_pylist()
    assert [tuple(row.values()) for row in counts] == [(THURSDAY, "match", 1), (FRIDAY, "drift", 1)]
    (row,) = queries.answer(session, "compared_symbols", day=FRIDAY, limit=5).to_pylist()
    assert (row["symbol"], row["verdict"], row["volume_drift"]) == ("A", "drift", -0.5)
    with pytest.raises(ValueError, match=r"a row of 2026-11-12 among those of 2026-11-13"):
        marts.replace_day(session, mart, FRIDAY, [comparison(THURSDAY, "A")])
    with pytest.raises(
        RowError, match=r"stream_volume=0.5 is no NUMBER\(28,6\) \(not an exact number\)"
    ):
        marts.replace_day(session, mart, FRIDAY, [comparison(FRIDAY, "A", stream_volume=0.5)])
    # The symbols that differ are shown first.
    three = [comparison(FRIDAY, name) for name in "AB"] + [drift | {"symbol": "C"}]
    assert marts.replace_day(session, mart, FRIDAY, three) == 3
    shown = queries.answer(session, "compared_symbols", day=FRIDAY, limit=2)
    assert shown["symbol"].to_pylist() == ["C", "A"]
    assert marts.replace_day(session, mart, FRIDAY, []) == 0
    assert ask(session, f"SELECT symbol FROM {mart.table}") == [("A",)]


def test_findings_name_duplicates_missing_values_and_orphans(session: SnowflakeConnection) -> None:
    merge(session, "tickers", ticker("A"))
    merge_closes(session, {THURSDAY: 1, MONDAY: 1})
    merge(
        session,
        "grouped_daily",
        bar("B", "2026-11-16", close=None, open=None),
        bar("C", "2026-11-16"),
    )
    build_all(session, THURSDAY, MONDAY)
    ask(
        session,
        f"INSERT INTO {FACT.table} SELECT * FROM {FACT.table} "
        f"WHERE ticker <> 'B' AND trading_day = '{MONDAY}'",
    )
    assert findings.duplicates(session, FACT) == Finding(
        2, [("A", "2026-11-16"), ("C", "2026-11-16")]
    )
    missing_by_day = {
        day: (missing.rows, {name: count for name, count in missing.by_column.items() if count})
        for day, missing in findings.missing_values(session, FACT).items()
    }
    assert missing_by_day == {THURSDAY: (1, {}), MONDAY: (5, {"OPEN": 1, "CLOSE": 1})}
    assert findings.missing_values(session, MARTS["dim_ticker"])[None].rows == 1
    assert findings.orphans(session, FACT, "TICKER", MONDAY) == Finding(2, [("B",), ("C",)])
    assert findings.day_rows(session, FACT) == {THURSDAY: 1, MONDAY: 5}


def test_a_bar_without_all_values_matches_nothing_and_is_not_lost(
    session: SnowflakeConnection,
) -> None:
    merge(
        session,
        "grouped_daily",
        bar("A", "2026-11-16"),
        bar("B", "2026-11-16", open=None),
        bar("C", "2026-11-16", volume=None),
    )
    marts.build(session, FACT, MONDAY)
    bars = reconciliation.day_bars(session, MONDAY)
    assert bars[0] == DayBar("A", 10.0, 10.0, 10.0, 10.0, Decimal("100.5"))
    assert [(bar.symbol, bar.is_known) for bar in bars] == [("A", True), ("B", False), ("C", False)]
    streamed = [replace(bars[0], symbol=symbol) for symbol in ("A", "B")]
    exact = reconciliation.Tolerance(0, 0)
    verdicts = reconciliation.compare(streamed, bars, ["A", "B", "C"], exact)
    assert [(each.symbol, each.verdict) for each in verdicts] == [
        ("A", Verdict.MATCH),
        ("B", Verdict.DRIFT),
        ("C", Verdict.MISSING),
    ]
    compared = day_comparison.DayComparison(MONDAY, verdicts, {})
    rows = [day_comparison._row(compared, verdict, AT) for verdict in verdicts]
    assert marts.replace_day(session, MARTS["stream_vs_batch"], MONDAY, rows) == 3
    stored = queries.answer(session, "compared_symbols", day=MONDAY, limit=9).to_pylist()
    assert [(row["symbol"], row["batch_close"], row["batch_volume"]) for row in stored] == [
        ("B", 10.0, Decimal("100.5")),
        ("C", 10.0, None),
        ("A", 10.0, Decimal("100.5")),
    ]
