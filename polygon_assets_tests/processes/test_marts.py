"""The marts, made of hand-made records over the real protocol: known answers, the same again, one day without touching the others."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error

from polygon_assets.batch import marts, reconciliation
from polygon_assets.batch.marts import MARTS, findings
from polygon_assets.batch.marts.findings import Finding, SplitJump
from polygon_assets.batch.marts.split_decisions import SplitDecision
from polygon_assets.batch.raw.staging import RowError
from polygon_assets.batch.reconciliation import DayBar
from polygon_assets_tests.processes.warehouse_harness import (
    AT,
    ask,
    bar,
    clear,
    merge,
    split,
    ticker,
)

SERVERS = ("snowflake",)
THURSDAY, FRIDAY, MONDAY, TUESDAY = (dt.date(2026, 11, day) for day in (12, 13, 16, 17))
FACT, ADJUSTED, REPORT = (
    MARTS["fact_daily_trading"],
    MARTS["daily_prices_adjusted"],
    MARTS["report_tickers"],
)


@pytest.fixture
def session(warehouse_session: SnowflakeConnection) -> SnowflakeConnection:
    """With empty tables."""
    clear(warehouse_session)
    return warehouse_session


def build_all(session: SnowflakeConnection, *days: dt.date) -> None:
    for mart in MARTS.values():
        for day in days if mart.by_day and mart.sql else ([None] if mart.sql else []):
            marts.build(session, mart, day)


def bars(session: SnowflakeConnection, prices: dict[dt.date, float], symbol: str = "A") -> None:
    merge(
        session,
        "grouped_daily",
        *(bar(symbol, day.isoformat(), price) for day, price in prices.items()),
    )


def adjusted(session: SnowflakeConnection, symbol: str = "A") -> list[tuple[Any, ...]]:
    """Close and volume by day, adjusted."""
    return ask(
        session,
        f"SELECT trading_day, close, volume FROM {ADJUSTED.table} WHERE ticker = '{symbol}' ORDER BY trading_day",
    )


def test_a_ticker_has_one_row_the_active_or_newest_with_type_and_exchange_in_words(
    session: SnowflakeConnection,
) -> None:
    merge(
        session,
        "exchanges",
        {"id": 10, "type": "exchange", "name": "New York Stock Exchange", "mic": "XNYS"},
        {"id": 1, "type": "TRF", "name": "Reporting facility", "mic": "XNYS"},
        {"id": 62, "type": "ORF", "name": "OTC", "mic": None},
    )
    merge(
        session,
        "ticker_types",
        {"code": "CS", "description": "Common Stock", "asset_class": "stocks", "locale": "us"},
        {"code": "CS", "description": "Another world's", "asset_class": "crypto", "locale": "us"},
        {"code": "CS", "description": "Elsewhere's", "asset_class": "stocks", "locale": "global"},
    )
    merge(
        session,
        "tickers",
        ticker("A", active=True, last_updated_utc="2025-01-01T00:00:00Z"),
        ticker(
            "A",
            market="otc",
            active=False,
            name="delisted",
            last_updated_utc="2026-01-01T00:00:00Z",
        ),
        ticker("B", active=False, name="older", last_updated_utc="2025-01-01T00:00:00Z"),
        ticker(
            "B",
            market="otc",
            active=False,
            name="newer",
            primary_exchange=None,
            last_updated_utc="2026-01-01T00:00:00Z",
        ),
        ticker("a", type="NEW", primary_exchange="XNAS", cik="0000320193"),
    )
    build_all(session)
    columns = "ticker, name, market, active, type_description, exchange_name, cik, delisted_utc"
    assert ask(session, f"SELECT {columns} FROM MARTS.DIM_TICKER ORDER BY ticker") == [
        ("A", "A Inc.", "stocks", True, "Common Stock", "New York Stock Exchange", None, None),
        ("B", "newer", "otc", False, "Common Stock", None, None, None),
        ("a", "a Inc.", "stocks", True, None, None, "0000320193", None),
    ]
    assert ask(session, "SELECT COUNT(*) FROM MARTS.DIM_EXCHANGE") == [(3,)]
    assert findings.orphans(session, MARTS["dim_ticker"], "PRIMARY_EXCHANGE") == Finding(
        1, [("XNAS",)]
    )


META = {
    "name": "Meta Platforms",
    "composite_figi": "BBG-1",
    "cik": "1",
    "last_updated_utc": "2026-11-01T00:00:00Z",
}
DEAD = {
    "name": "Metamaterial",
    "composite_figi": "BBG-2",
    "cik": "2",
    "active": False,
    "last_updated_utc": "2026-11-02T00:00:00Z",
}


@pytest.mark.parametrize("living_first", [True, False])
@pytest.mark.parametrize("without", [(), ("composite_figi",), ("composite_figi", "cik")])
def test_a_dead_company_of_the_same_symbol_never_replaces_the_living_one(
    session: SnowflakeConnection, living_first: bool, without: tuple[str, ...]
) -> None:
    records = [
        ticker("META", **fields | dict.fromkeys(without))
        for fields in (META, {**DEAD, "delisted_utc": "2026-11-02T00:00:00Z"})
    ]
    for number, record in enumerate(records if living_first else records[::-1]):
        merge(session, "tickers", record, at=AT + dt.timedelta(days=number))
    build_all(session)
    assert ask(session, "SELECT COUNT(*) FROM RAW.TICKERS") == [(2,)]
    assert ask(session, "SELECT name, active FROM MARTS.DIM_TICKER") == [("Meta Platforms", True)]
    [reused] = findings.reused_symbols(session)
    assert (reused.ticker, reused.former_name, reused.delisted_day, reused.shares_bars) == (
        "META",
        "Metamaterial",
        dt.date(2026, 11, 2),
        False,
    )
    bars(session, {THURSDAY: 1}, "META")
    build_all(session, THURSDAY)
    assert not findings.reused_symbols(session)[0].shares_bars
    marts.build(session, FACT, dt.date(2026, 11, 2))
    merge(session, "grouped_daily", bar("META", "2026-11-02"))
    build_all(session, dt.date(2026, 11, 2))
    assert findings.reused_symbols(session)[0].shares_bars


@pytest.mark.parametrize("without", [(), ("composite_figi",), ("composite_figi", "cik")])
def test_a_delisted_security_is_no_longer_active_though_its_old_entry_stays(
    session: SnowflakeConnection, without: tuple[str, ...]
) -> None:
    listed = ticker("META", **META | dict.fromkeys(without))
    gone = listed | {
        "active": False,
        "last_updated_utc": "2026-11-05T00:00:00Z",
        "delisted_utc": "2026-11-05T00:00:00Z",
    }
    merge(session, "tickers", listed)
    merge(session, "tickers", gone)
    build_all(session)
    assert ask(session, "SELECT active, delisted_utc IS NOT NULL FROM MARTS.DIM_TICKER") == [
        (False, True)
    ]
    merge(session, "tickers", listed | {"last_updated_utc": "2026-11-06T00:00:00Z"})
    build_all(session)
    assert ask(session, "SELECT active FROM MARTS.DIM_TICKER") == [(True,)], "listed again"
    assert findings.reused_symbols(session) == []


def test_a_day_joins_official_prices_by_ticker_and_date(session: SnowflakeConnection) -> None:
    exact = "123456789012345.123456"
    merge(
        session,
        "grouped_daily",
        bar("A", "2026-11-12"),
        bar("A", "2026-11-13", 11, volume=exact),
        bar("B", "2026-11-13", otc=True),
    )
    official = {
        "open": 9.5,
        "high": 12,
        "low": 9,
        "close": 10.5,
        "volume": "1",
        "pre_market": 9.4,
        "after_hours": None,
    }
    merge(
        session,
        "daily_open_close",
        {"ticker": "A", "date": "2026-11-13", **official},
        at=AT + dt.timedelta(hours=1),
    )
    assert marts.build(session, FACT, FRIDAY) == 2
    stamp = dt.datetime(2026, 11, 13, 21, 0, tzinfo=dt.UTC)
    prices, later = (11.0,) * 4, AT + dt.timedelta(hours=1)
    assert ask(session, f"SELECT * FROM {FACT.table} ORDER BY ticker") == [
        ("A", FRIDAY, *prices, Decimal(exact), 11.0, 3, 9.5, 10.5, 9.4, None, False, stamp, later),
        (
            "B",
            FRIDAY,
            *(10.0,) * 4,
            Decimal("100.5"),
            10.0,
            3,
            None,
            None,
            None,
            None,
            True,
            stamp,
            AT,
        ),
    ]


CLOSE_MS = int(dt.datetime(2026, 11, 13, 21, 0, tzinfo=dt.UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("stamp", "kept"),
    [
        (CLOSE_MS, True),
        (int(dt.datetime(2026, 11, 13, 5, 0, tzinfo=dt.UTC).timestamp() * 1000), True),
        (int(dt.datetime(2026, 11, 14, 4, 59, 59, tzinfo=dt.UTC).timestamp() * 1000), True),
        (int(dt.datetime(2026, 11, 13, 4, 59, 59, tzinfo=dt.UTC).timestamp() * 1000), False),
        (int(dt.datetime(2026, 11, 14, 5, 0, tzinfo=dt.UTC).timestamp() * 1000), False),
        (CLOSE_MS // 1000, False),
        (CLOSE_MS * 1000, False),
        (CLOSE_MS * 1_000_000, False),
        (0, False),
        (-CLOSE_MS, False),
        (2**63 - 1, False),
        (None, False),
    ],
)
def test_an_odd_stamp_costs_itself_alone_and_is_named(
    session: SnowflakeConnection, stamp: int | None, kept: bool
) -> None:
    merge(
        session,
        "grouped_daily",
        bar("GOOD", "2026-11-13"),
        bar("ODD", "2026-11-13", window_start_ms=stamp),
    )
    assert marts.build(session, FACT, FRIDAY) == 2
    rows = dict(ask(session, f"SELECT ticker, window_start IS NOT NULL FROM {FACT.table}"))
    assert rows == {"GOOD": True, "ODD": kept}
    named = [] if kept or stamp is None else [("ODD", str(stamp))]
    assert findings.odd_stamps(session, FACT, FRIDAY) == Finding(len(named), named)


@pytest.mark.parametrize("volume", ["no number", "", "nan", None])
def test_a_volume_that_is_no_number_costs_itself_alone(
    session: SnowflakeConnection, volume: str | None
) -> None:
    merge(
        session, "grouped_daily", bar("GOOD", "2026-11-13"), bar("ODD", "2026-11-13", volume=volume)
    )
    assert marts.build(session, FACT, FRIDAY) == 2
    assert ask(session, f"SELECT ticker, volume FROM {FACT.table} ORDER BY 1") == [
        ("GOOD", Decimal("100.5")),
        ("ODD", None),
    ]
    assert [bar.symbol for bar in reconciliation.day_bars(session, FRIDAY)] == ["GOOD"], (
        "an unknown volume is compared with nothing"
    )


def test_building_again_changes_nothing_and_one_day_leaves_the_others(
    session: SnowflakeConnection,
) -> None:
    merge(session, "tickers", ticker("A"), ticker("B"))
    merge(session, "stock_split", split("1", "A", "2026-11-13", 1, 2))
    bars(session, {THURSDAY: 10, FRIDAY: 5})
    bars(session, {FRIDAY: 7}, "B")
    rows = []
    for _ in range(2):
        build_all(session, THURSDAY, FRIDAY)
        rows.append(
            [
                ask(session, f"SELECT * FROM {mart.table} ORDER BY 1, 2")
                for mart in MARTS.values()
                if mart.sql
            ]
        )
    assert rows[0] == rows[1]
    # A bar that the vendor withdrew, and one that it corrected, on Friday alone.
    clear(session, "RAW.GROUPED_DAILY")
    bars(session, {THURSDAY: 99, FRIDAY: 6})
    assert marts.build(session, FACT, FRIDAY) == 1
    assert ask(session, f"SELECT ticker, trading_day, close FROM {FACT.table} ORDER BY 2") == [
        ("A", THURSDAY, 10.0),
        ("A", FRIDAY, 6.0),
    ]


def test_a_day_that_fails_keeps_its_old_rows(session: SnowflakeConnection) -> None:
    class Broken(marts.Mart):
        @property
        def sql(self) -> str:
            return (FACT.sql or "").replace("RAW.GROUPED_DAILY", "RAW.NOT_THERE")

    bars(session, {FRIDAY: 10})
    marts.build(session, FACT, FRIDAY)
    with pytest.raises(Error):
        marts.build(session, Broken(**vars(FACT)), FRIDAY)
    assert ask(session, f"SELECT ticker FROM {FACT.table}") == [("A",)]


@pytest.mark.parametrize(
    ("mart", "day"), [(FACT, None), (REPORT, FRIDAY), (MARTS["stream_vs_batch"], FRIDAY)]
)
def test_a_mart_is_built_by_day_or_at_once_as_it_is_declared(
    session: SnowflakeConnection, mart: marts.Mart, day: dt.date | None
) -> None:
    with pytest.raises(ValueError, match=mart.name):
        marts.build(session, mart, day)


def test_prices_are_multiplied_by_every_split_executed_since_and_volume_divided(
    session: SnowflakeConnection,
) -> None:
    """3 for 1 on Monday after a 1 for 2 on the Saturday before it, the latter listed twice; another one is only announced."""
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
    bars(session, {THURSDAY: 7.77, FRIDAY: 3, MONDAY: 2, TUESDAY: 2.2})
    bars(session, {FRIDAY: 7.77, MONDAY: 2.59, TUESDAY: 7.77}, "B")
    bars(session, {FRIDAY: 3.14}, "C")
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


@pytest.mark.parametrize(
    "entries",
    [
        [(2, 3), (1, 1.5)],
        [(1, 1.5), (2, 3)],
        [(2, 3), (4, 6), (1, 1.5)],
        [(2, 3), (1, 1.4999)],
        [(2, 3), (1, 1)],
        [(2, 3), (0, 3)],
        [(2, 3), (-2, 3)],
        [(2, 3), (None, 3)],
        [(2, 3), (2, None)],
    ],
)
def test_entries_with_the_same_ratio_are_one_split(
    session: SnowflakeConnection, entries: list[tuple[Any, Any]]
) -> None:
    merge(
        session,
        "stock_split",
        *(split(str(n), "A", "2026-11-16", *ratio) for n, ratio in enumerate(entries)),
    )
    bars(session, {FRIDAY: 30, MONDAY: 20})
    build_all(session, FRIDAY, MONDAY)
    assert [row[1] for row in adjusted(session)] == [20.0, 20.0]
    assert findings.undecided_splits(session) == []
    assert [jump.is_continuous for jump in findings.split_jumps(session, THURSDAY)] == [True]


CONTRADICTIONS: dict[str, list[tuple[str, Any, Any]]] = {
    "two ratios": [("2026-11-16", 1, 2), ("2026-11-16", 1, 5)],
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


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_entries_that_contradict_each_other_leave_the_last_good_prices_until_one_line_decides(
    session: SnowflakeConnection, contradiction: str
) -> None:
    bars(session, {THURSDAY: 40, FRIDAY: 41})
    bars(session, {THURSDAY: 7, FRIDAY: 8}, "B")
    build_all(session, THURSDAY, FRIDAY)
    good = adjusted(session)
    merge(
        session,
        "stock_split",
        *(split(str(n), "A", *entry) for n, entry in enumerate(CONTRADICTIONS[contradiction])),
    )
    merge(session, "stock_split", split("b", "B", "2026-11-16", 1, 2))
    bars(session, {MONDAY: 20, TUESDAY: 21})
    bars(session, {MONDAY: 4, TUESDAY: 4}, "B")
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


def test_one_decision_is_enough_for_one_split_on_two_days(session: SnowflakeConnection) -> None:
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 2),
        split("2", "A", "2026-11-17", 1, 2),
    )
    bars(session, {FRIDAY: 40, MONDAY: 20, TUESDAY: 20})
    build_all(session, FRIDAY, MONDAY, TUESDAY)
    assert adjusted(session) == []
    marts.build(
        session, MARTS["dim_stock_split"], decisions=[SplitDecision("A", "2026-11-17", 1, 1)]
    )
    marts.build(session, ADJUSTED)
    assert [row[1] for row in adjusted(session)] == [20.0, 20.0, 20.0]


def test_a_contradiction_that_moves_no_loaded_price_stops_nothing(
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
    bars(session, {FRIDAY: 40, MONDAY: 41})
    build_all(session, FRIDAY, MONDAY)
    assert [row[1] for row in adjusted(session)] == [40.0, 41.0]
    assert findings.undecided_splits(session) == []
    assert ask(session, "SELECT DISTINCT status FROM MARTS.DIM_STOCK_SPLIT") == [("undecided",)]


def test_a_split_moves_earlier_prices_only_once_its_day_is_there(
    session: SnowflakeConnection,
) -> None:
    merge(session, "stock_split", split("1", "A", "2026-11-16", 1, 2))
    bars(session, {FRIDAY: 20})
    build_all(session, FRIDAY)
    assert [row[1] for row in adjusted(session)] == [20.0]
    bars(session, {MONDAY: 10})
    build_all(session, MONDAY)
    assert [row[1] for row in adjusted(session)] == [10.0, 10.0]


def test_the_report_says_where_an_active_ticker_stands_and_where_it_has_been(
    session: SnowflakeConnection,
) -> None:
    merge(session, "tickers", ticker("A"), ticker("new"), ticker("gone", active=False))
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 4),
        split("2", "A", "2026-12-01", 1, 2),
    )
    bars(session, {THURSDAY: 40, FRIDAY: 80, MONDAY: 22})
    bars(session, {TUESDAY: 1}, "gone")
    build_all(session, THURSDAY, FRIDAY, MONDAY, TUESDAY)
    columns = "ticker, last_trading_day, last_close, previous_close, round(change_percent, 6), average_volume_20, high_252, low_252"
    rows = ask(
        session,
        f"SELECT {columns}, last_split_day, last_split_from, last_split_to FROM {REPORT.table} ORDER BY ticker",
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
    bars(session, {day: 1 + number for number, day in enumerate(days)})
    merge(
        session,
        "grouped_daily",
        bar("B", days[-30].isoformat(), volume="1"),
        bar("B", days[-1].isoformat(), volume="9"),
    )
    # The fact table is filled at once here: 260 transactions would prove nothing more.
    marts.build(session, FACT, first)
    day = "SELECT b.ticker, b.date, b.open, b.high, b.low, b.close, b.volume::NUMBER(28, 6) FROM RAW.GROUPED_DAILY AS b"
    ask(
        session,
        f"INSERT INTO {FACT.table} (ticker, trading_day, open, high, low, close, volume) {day} WHERE b.date > '{first}'",
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


def test_rows_computed_elsewhere_replace_their_day(session: SnowflakeConnection) -> None:
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
    columns = "trading_day, symbol, verdict, stream_open, stream_volume, volume_drift, different_minutes, compared_at"
    assert ask(session, f"SELECT {columns} FROM {mart.table} ORDER BY 1") == [
        (THURSDAY, "A", "match", None, None, None, None, AT),
        (FRIDAY, "A", "drift", None, Decimal("1.000001"), -0.5, "10:31-10:33", AT),
    ]
    with pytest.raises(ValueError, match=r"a row of 2026-11-12 among those of 2026-11-13"):
        marts.replace_day(session, mart, FRIDAY, [comparison(THURSDAY, "A")])
    with pytest.raises(
        RowError, match=r"stream_volume=0.5 is no NUMBER\(28,6\) \(not an exact number\)"
    ):
        marts.replace_day(session, mart, FRIDAY, [comparison(FRIDAY, "A", stream_volume=0.5)])
    assert marts.replace_day(session, mart, FRIDAY, []) == 0
    assert ask(session, f"SELECT symbol FROM {mart.table}") == [("A",)]


def test_findings_name_what_is_wrong(session: SnowflakeConnection) -> None:
    merge(session, "tickers", ticker("A"))
    bars(session, {THURSDAY: 1, MONDAY: 1})
    merge(
        session,
        "grouped_daily",
        bar("B", "2026-11-16", close=None, open=None),
        bar("C", "2026-11-16"),
    )
    build_all(session, THURSDAY, MONDAY)
    ask(
        session,
        f"INSERT INTO {FACT.table} SELECT * FROM {FACT.table} WHERE ticker <> 'B' AND trading_day = '{MONDAY}'",
    )
    assert findings.duplicates(session, FACT) == Finding(
        2, [("A", "2026-11-16"), ("C", "2026-11-16")]
    )
    missing = {
        day: (found.rows, {name: count for name, count in found.by_column.items() if count})
        for day, found in findings.missing_values(session, FACT).items()
    }
    assert missing == {THURSDAY: (1, {}), MONDAY: (5, {"OPEN": 1, "CLOSE": 1})}
    assert findings.missing_values(session, MARTS["dim_ticker"])[None].rows == 1
    assert findings.orphans(session, FACT, "TICKER", MONDAY) == Finding(2, [("B",), ("C",)])
    assert findings.day_rows(session, FACT) == {THURSDAY: 1, MONDAY: 5}


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
    bars(session, {FRIDAY: 40, MONDAY: 11})
    bars(session, {FRIDAY: 40, MONDAY: 30}, "B")
    bars(session, {FRIDAY: 40, MONDAY: 40}, "C")
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


@pytest.mark.parametrize("published", [(10, 11), (1, 2), (1, 5), (1, 20), (10, 1), (100, 101)])
def test_an_entry_that_is_smaller_or_larger_than_the_true_split_leaves_a_jump(
    session: SnowflakeConnection, published: tuple[int, int]
) -> None:
    """The true split is 10 for 1."""
    merge(session, "stock_split", split("1", "A", "2026-11-16", *published))
    bars(session, {FRIDAY: 400, MONDAY: 40})
    build_all(session, FRIDAY, MONDAY)
    [jump] = findings.split_jumps(session, THURSDAY)
    assert not jump.is_continuous


def test_a_split_around_a_price_of_nothing_is_not_judged(session: SnowflakeConnection) -> None:
    merge(
        session,
        "stock_split",
        split("1", "A", "2026-11-16", 1, 4),
        split("2", "B", "2026-11-16", 1, 4),
    )
    bars(session, {FRIDAY: 40, MONDAY: 0})
    bars(session, {FRIDAY: 0, MONDAY: 10}, "B")
    build_all(session, FRIDAY, MONDAY)
    assert findings.split_jumps(session, THURSDAY) == []


def test_a_bar_that_lacks_a_value_is_none_to_compare_a_stream_with(
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
    assert reconciliation.day_bars(session, MONDAY) == [
        DayBar("A", 10.0, 10.0, 10.0, 10.0, Decimal("100.5"))
    ]
