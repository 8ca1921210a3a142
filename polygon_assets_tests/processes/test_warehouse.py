"""Loads into RAW over the real protocol: the winning record, failed loads, repeated loads.

Encodings of single values belong to unit/batch/raw/test_table_writer.py.
"""

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import ProgrammingError

from polygon_assets.batch.airbyte.connector import Stream, streams
from polygon_assets.batch.raw import table_writer
from polygon_assets.batch.raw.queries import daily_tables, reference_tables
from polygon_assets.batch.raw.table_writer import RecordError, Written
from polygon_assets.clients import snowflake
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.warehouse_harness import (
    AT,
    ask,
    bar,
    clear,
    create,
    merge,
    ticker,
)

SERVERS = ("snowflake",)
LATER = AT + dt.timedelta(hours=1)
EARLIER = AT - dt.timedelta(hours=1)


@pytest.fixture
def session(warehouse_session: SnowflakeConnection) -> SnowflakeConnection:
    """A session whose tables are empty."""
    clear(warehouse_session, "RAW.TICKERS", "RAW.GROUPED_DAILY", "RAW.DAILY_OPEN_CLOSE")
    return warehouse_session


def names(session: SnowflakeConnection) -> list[tuple[str, str]]:
    return [
        tuple(row) for row in ask(session, "SELECT ticker, name FROM RAW.TICKERS ORDER BY ticker")
    ]


def test_a_row_has_airbytes_columns_and_every_value_as_it_was_sent(
    session: SnowflakeConnection,
) -> None:
    merge(
        session,
        "grouped_daily",
        bar(
            "TRUE",
            "2026-11-20",
            volume="123456789012345.123456",
            vwap=None,
            otc=True,
            unknown="left out",
        ),
    )
    [row] = ask(session, "SELECT * EXCLUDE _AIRBYTE_RAW_ID FROM RAW.GROUPED_DAILY")
    metadata = (AT, '{"sync_id":0,"changes":[]}', 0)
    prices = (10.0, 10.0, 10.0, 10.0, "123456789012345.123456", None, 3, True)
    assert row == (*metadata, "TRUE", dt.date(2026, 11, 20), 1795208400000, *prices)
    assert ask(session, "SELECT volume::NUMBER(28, 6) FROM RAW.GROUPED_DAILY") == [
        (Decimal("123456789012345.123456"),)
    ]
    assert ask(session, "SELECT COUNT(DISTINCT _AIRBYTE_RAW_ID) FROM RAW.GROUPED_DAILY") == [(1,)]


def test_the_newest_record_of_a_key_wins_within_a_load_and_the_last_of_equals(
    session: SnowflakeConnection,
) -> None:
    old, new = "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:01Z"
    records = [
        ticker("A", name="newest", last_updated_utc=new),
        ticker("A", name="older", last_updated_utc=old),
        ticker("B", name="first", last_updated_utc=old),
        ticker("B", name="last", last_updated_utc=old),
    ]
    assert merge(session, "tickers", *records) == Written(read=4, inserted=2, updated=0)
    assert names(session) == [("A", "newest"), ("B", "last")]


def test_an_older_record_never_replaces_a_newer_row(session: SnowflakeConnection) -> None:
    """Newer means a later cursor in UTC, or, if the cursors are equal, a later extraction."""
    held, before, after = (
        "2026-01-02T00:00:00Z",
        "2026-01-02T12:00:00+14:00",
        "2026-01-01T23:00:00-04:00",
    )
    cases = [
        (before, LATER, "old"),
        (held, EARLIER, "old"),
        (held, AT, "new"),
        (held, LATER, "new"),
        (after, EARLIER, "new"),
    ]
    symbols = [f"{number}" for number in range(len(cases))]
    merge(
        session,
        "tickers",
        *(ticker(symbol, name="old", last_updated_utc=held) for symbol in symbols),
    )
    for at in (EARLIER, AT, LATER):
        later = [
            (symbol, cursor)
            for symbol, (cursor, extracted, _) in zip(symbols, cases, strict=True)
            if extracted == at
        ]
        merge(
            session,
            "tickers",
            *(ticker(symbol, name="new", last_updated_utc=cursor) for symbol, cursor in later),
            at=at,
        )
    assert names(session) == [
        (symbol, winner) for symbol, (_, _, winner) in zip(symbols, cases, strict=True)
    ]


def test_the_same_load_again_changes_no_count(session: SnowflakeConnection) -> None:
    records = [bar(f"T{number}", "2026-11-20") for number in range(50)]
    assert merge(session, "grouped_daily", *records) == Written(50, 50, 0)
    assert merge(session, "grouped_daily", *records) == Written(50, 0, 50)


def test_overwriting_leaves_exactly_the_given_records(session: SnowflakeConnection) -> None:
    merge(session, "tickers", ticker("A"), ticker("B"))
    assert table_writer.overwrite(
        session, streams()["tickers"], [ticker("B"), ticker("C"), ticker("C")], AT, 4, sync_id=9
    ) == Written(3, 2, 0)
    assert names(session) == [("B", "B Inc."), ("C", "C Inc.")]
    assert ask(
        session,
        "SELECT DISTINCT _AIRBYTE_GENERATION_ID, _AIRBYTE_META:sync_id::INTEGER FROM RAW.TICKERS",
    ) == [(4, 9)]
    assert table_writer.overwrite(session, streams()["tickers"], [], AT) == Written(0, 0, 0)
    assert names(session) == []


def test_readers_never_see_an_overwritten_table_empty(
    session: SnowflakeConnection, settings: Settings
) -> None:
    merge(session, "tickers", ticker("A"))
    stop = threading.Event()

    def write() -> None:
        try:
            with snowflake.connect(settings, 30) as own:
                for _ in range(5):
                    table_writer.overwrite(own, streams()["tickers"], [ticker("A")], AT)
        finally:
            stop.set()

    writing = threading.Thread(target=write)
    writing.start()
    seen = set()
    while not stop.is_set():
        seen.add(ask(session, "SELECT COUNT(*) FROM RAW.TICKERS")[0][0])
    writing.join()
    assert seen == {1}


def test_a_failed_load_changes_no_row_and_leaves_no_table(session: SnowflakeConnection) -> None:
    merge(session, "tickers", ticker("A"))

    def records() -> Iterator[dict[str, Any]]:
        yield ticker("B")
        yield ticker("C", market=None)

    with pytest.raises(
        RecordError,
        match=r"stream tickers: the required field market is missing in \{'ticker': 'C'",
    ):
        table_writer.merge(session, streams()["tickers"], records(), AT)
    ask(session, "ALTER TABLE RAW.TICKERS ADD COLUMN LATER DATE")
    with_dates = Stream(
        "tickers",
        ("ticker", "market"),
        None,
        {**streams()["tickers"].properties, "later": {"type": "string"}},
    )
    with pytest.raises(ProgrammingError):
        table_writer.merge(session, with_dates, [ticker("B", later="no date")], AT)
    assert names(session) == [("A", "A Inc.")]
    assert (
        ask(
            session,
            "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'LOAD%'",
        )
        == []
    )
    ask(session, "ALTER TABLE RAW.TICKERS DROP COLUMN LATER")


def test_schema_table_and_new_columns_are_created_when_needed(
    session: SnowflakeConnection,
) -> None:
    old = Stream("grown", ("id",), None, {"id": {"type": "integer"}})
    added = {
        "since": {"type": "string", "format": "date"},
        "tags": {"type": "array"},
        "note": {"type": "string"},
    }
    new = Stream("grown", ("id",), "since", {**old.properties, **added})
    table_writer.merge(session, old, [{"id": 1}], AT, schema="ELSEWHERE")
    table_writer.merge(
        session,
        new,
        [{"id": 2, "since": "2026-11-20", "tags": ["a"], "note": "n"}],
        AT,
        schema="ELSEWHERE",
    )
    day = dt.date(2026, 11, 20)
    grown = "SELECT id, since, tags[0]::VARCHAR, note FROM ELSEWHERE.GROWN ORDER BY id"
    assert ask(session, grown) == [(1, None, None, None), (2, day, "a", "n")]
    # A row without a cursor is older than any row that has one.
    assert table_writer.merge(
        session, new, [{"id": 1, "since": day}], EARLIER, schema="ELSEWHERE"
    ) == Written(1, 0, 1)


def test_a_load_without_records_creates_the_table(session: SnowflakeConnection) -> None:
    ask(session, "DROP TABLE RAW.DAILY_OPEN_CLOSE")
    assert merge(session, "daily_open_close") == Written(0, 0, 0)
    assert ask(session, "SELECT COUNT(*) FROM RAW.DAILY_OPEN_CLOSE") == [(0,)]


@pytest.mark.parametrize("load", [table_writer.merge, table_writer.overwrite])
def test_a_value_that_does_not_fit_is_nulled_and_recorded_as_airbyte_does(
    session: SnowflakeConnection, load: Any
) -> None:
    create(session)
    clear(session, "RAW.STOCK_SPLIT")
    right = {
        "id": "1",
        "ticker": "A",
        "execution_date": "2026-01-02",
        "split_from": 1,
        "split_to": 2.0,
        "adjustment_type": "forward_split",
    }
    misfits: list[dict[str, Any]] = [
        {"split_from": "N/A"},
        {"split_to": float("nan")},
        {"split_to": True},
        {"split_from": {}},
        {"execution_date": "soon"},
        {"adjustment_type": float("nan")},
        {"ticker": float("inf")},
        {"split_to": ""},
    ]
    records = [
        right,
        *(right | {"id": str(number)} | misfit for number, misfit in enumerate(misfits, start=2)),
    ]
    load(session, streams()["stock_split"], records, AT, null_misfits=True)
    expected = ("1", "A", dt.date(2026, 1, 2), 1.0, 2.0, "forward_split")
    names = ("id", "ticker", "execution_date", "split_from", "split_to", "adjustment_type")
    query = f"SELECT {', '.join(names)} FROM RAW.STOCK_SPLIT ORDER BY id"
    rows = [tuple(row) for row in ask(session, query)]
    assert rows[0] == expected
    assert rows[1:] == [
        tuple(
            str(number) if name == "id" else None if name in misfit else value
            for name, value in zip(names, expected, strict=True)
        )
        for number, misfit in enumerate(misfits, start=2)
    ]
    changed = ask(
        session,
        "SELECT _AIRBYTE_META:changes[0]:field::VARCHAR, "
        "_AIRBYTE_META:changes[0]:change::VARCHAR FROM RAW.STOCK_SPLIT ORDER BY id",
    )
    assert [tuple(row) for row in changed] == [
        (None, None),
        *((name, "NULLED") for misfit in misfits for name in misfit),
    ]
    assert reference_tables(session)["stock_split"].flawed_rows == len(misfits)


def test_a_daily_row_without_a_value_is_counted(session: SnowflakeConnection) -> None:
    clear(session, "RAW.DAILY_OPEN_CLOSE")
    required = ("open", "high", "low", "close", "volume", "vwap", "transactions", "window_start_ms")
    odd = (bar(name.upper(), "2026-11-20") | {name: None} for name in required)
    merge(session, "grouped_daily", bar("GOOD", "2026-11-20"), *odd)
    contents = daily_tables(session, dt.date(2026, 11, 20))["grouped_daily"]
    assert (contents.rows, contents.flawed_rows) == (1 + len(required), len(required))


def test_an_official_price_that_was_no_number_is_counted_also_where_it_may_be_missing(
    session: SnowflakeConnection,
) -> None:
    clear(session, "RAW.GROUPED_DAILY")
    prices = {"open": 9.5, "high": 12, "low": 9, "close": 10.5, "volume": "1"}
    merge(
        session,
        "daily_open_close",
        {"ticker": "QUIET", "date": "2026-11-20", **prices, "invalid_values": 0},
        {"ticker": "NAN", "date": "2026-11-20", **prices, "invalid_values": 1},
        {"ticker": "OLD", "date": "2026-11-20", **prices},
    )
    contents = daily_tables(session, dt.date(2026, 11, 20))["daily_open_close"]
    assert (contents.rows, contents.flawed_rows) == (3, 1)


def test_a_table_from_before_a_column_is_given_it_and_keeps_its_rows(
    session: SnowflakeConnection,
) -> None:
    merge(session, "daily_open_close", {"ticker": "OLD", "date": "2026-11-20"})
    ask(session, "ALTER TABLE RAW.DAILY_OPEN_CLOSE DROP COLUMN INVALID_VALUES")
    with pytest.raises(ProgrammingError, match="INVALID_VALUES"):
        daily_tables(session, dt.date(2026, 11, 20))
    table_writer.ensure(session, streams()["daily_open_close"])
    assert daily_tables(session, dt.date(2026, 11, 20))["daily_open_close"].rows == 1


def test_a_key_that_does_not_fit_fails_the_load(session: SnowflakeConnection) -> None:
    with pytest.raises(RecordError, match="id=nan is no VARCHAR"):
        table_writer.overwrite(
            session, streams()["stock_split"], [{"id": float("nan")}], AT, null_misfits=True
        )
