"""Dimensions and daily facts, built from small records over the real protocol.

The report and findings belong to test_mart_report.py, splits to test_mart_splits.py, the SQL's text
to unit/batch/marts.
"""

import datetime as dt
from decimal import Decimal

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error

from polygon_assets.batch import marts, reconciliation
from polygon_assets.batch.marts import MARTS, findings
from polygon_assets.batch.marts.findings import Finding
from polygon_assets_tests.parameters import first_few
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


def test_a_ticker_has_one_row_the_active_or_newest_with_names_of_type_and_exchange(
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
@pytest.mark.parametrize(
    "without", first_few(1, [(), ("composite_figi",), ("composite_figi", "cik")])
)
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
    merge_closes(session, {THURSDAY: 1}, "META")
    build_all(session, THURSDAY)
    assert not findings.reused_symbols(session)[0].shares_bars
    marts.build(session, FACT, dt.date(2026, 11, 2))
    merge(session, "grouped_daily", bar("META", "2026-11-02"))
    build_all(session, dt.date(2026, 11, 2))
    assert findings.reused_symbols(session)[0].shares_bars


@pytest.mark.parametrize(
    "without", first_few(1, [(), ("composite_figi",), ("composite_figi", "cik")])
)
def test_a_delisted_security_is_inactive_although_its_old_entry_stays(
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
def test_an_odd_stamp_is_null_and_named_and_costs_no_other_value(
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
    named = [] if kept else [("ODD", str(stamp))]
    assert findings.odd_stamps(session, FACT, FRIDAY) == Finding(len(named), named)


@pytest.mark.parametrize("volume", ["no number", "", "nan", None])
def test_a_volume_that_is_not_a_number_is_null_and_costs_no_other_value(
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
    known = {bar.symbol: bar.is_known for bar in reconciliation.day_bars(session, FRIDAY)}
    assert known == {"GOOD": True, "ODD": False}


def test_a_rebuild_changes_nothing_and_a_rebuilt_day_leaves_the_others(
    session: SnowflakeConnection,
) -> None:
    merge(session, "tickers", ticker("A"), ticker("B"))
    merge(session, "stock_split", split("1", "A", "2026-11-13", 1, 2))
    merge_closes(session, {THURSDAY: 10, FRIDAY: 5})
    merge_closes(session, {FRIDAY: 7}, "B")
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
    # On Friday the vendor withdrew one bar and corrected another; Thursday is not rebuilt.
    clear(session, "RAW.GROUPED_DAILY")
    merge_closes(session, {THURSDAY: 99, FRIDAY: 6})
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

    merge_closes(session, {FRIDAY: 10})
    marts.build(session, FACT, FRIDAY)
    with pytest.raises(Error):
        marts.build(session, Broken(**vars(FACT)), FRIDAY)
    assert ask(session, f"SELECT ticker FROM {FACT.table}") == [("A",)]


@pytest.mark.parametrize(
    ("mart", "day"), [(FACT, None), (REPORT, FRIDAY), (MARTS["stream_vs_batch"], FRIDAY)]
)
def test_a_build_that_contradicts_the_declaration_of_the_mart_is_refused(
    session: SnowflakeConnection, mart: marts.Mart, day: dt.date | None
) -> None:
    with pytest.raises(ValueError, match=mart.name):
        marts.build(session, mart, day)
