"""Small records of the vendor's streams, loaded into the embedded Snowflake, and queries to it.

Servers and sessions belong to conftest.
"""

import datetime as dt
from typing import TYPE_CHECKING, Any

from polygon_assets.batch import marts
from polygon_assets.batch.airbyte.connector import streams, whole_streams
from polygon_assets.batch.marts import MARTS
from polygon_assets.batch.raw import ensure_table, table_writer
from polygon_assets.batch.raw.last_good import keep_or_restore
from polygon_assets.batch.raw.table_writer import Written

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

AT = dt.datetime(2026, 11, 21, 3, 0, tzinfo=dt.UTC)


def ask(session: "SnowflakeConnection", sql: str) -> list[Any]:
    """All rows of a query."""
    with session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def merge(
    session: "SnowflakeConnection", stream: str, *records: dict[str, Any], at: dt.datetime = AT
) -> Written:
    """Load records into the stream's table, and accept it if marts read the last good rows."""
    written = table_writer.merge(session, streams()[stream], records, at)
    if streams()[stream] in whole_streams():
        keep_or_restore(session, [streams()[stream]], [stream])
    return written


def create(session: "SnowflakeConnection") -> None:
    """Create the missing tables of RAW and MARTS."""
    with session.cursor() as cursor:
        for stream in streams().values():
            for suffix in ("", "_last_good") if stream in whole_streams() else ("",):
                name, columns = f"{stream.name}{suffix}", table_writer.columns(stream)
                ensure_table.ensure(cursor, "RAW", name, columns)
        for mart in MARTS.values():
            ensure_table.ensure(cursor, "MARTS", mart.name, mart.definitions)


def clear(session: "SnowflakeConnection", *names: str) -> None:
    """Delete all rows of the tables, by default of all, so that no test sees another's rows."""
    everything = [
        *(f"RAW.{name}" for name in streams()),
        *(f"RAW.{stream.name}_LAST_GOOD" for stream in whole_streams()),
        *(mart.table for mart in MARTS.values()),
    ]
    for name in names or everything:
        ask(session, f"DELETE FROM {name}")


def bar(symbol: str, day: str, price: float = 10.0, **changes: Any) -> dict[str, Any]:
    """A record of grouped_daily."""
    prices = dict.fromkeys(("open", "high", "low", "close", "vwap"), price)
    closing = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(21), dt.UTC)
    rest = {
        "window_start_ms": int(closing.timestamp() * 1000),
        "volume": "100.5",
        "transactions": 3,
        "otc": False,
    }
    return {"ticker": symbol, "date": day, **prices, **rest, **changes}


def ticker(symbol: str, **changes: Any) -> dict[str, Any]:
    """A record of tickers."""
    fields = {
        "market": "stocks",
        "locale": "us",
        "active": True,
        "type": "CS",
        "primary_exchange": "XNYS",
    }
    return {
        "ticker": symbol,
        "name": f"{symbol} Inc.",
        "last_updated_utc": "2026-01-01T00:00:00Z",
        **fields,
        **changes,
    }


def split(
    identifier: str, symbol: str, day: str, split_from: float, split_to: float
) -> dict[str, Any]:
    """A record of stock_split."""
    return {
        "id": identifier,
        "ticker": symbol,
        "execution_date": day,
        "split_from": split_from,
        "split_to": split_to,
    }


def merge_closes(
    session: "SnowflakeConnection", closes: dict[dt.date, float], symbol: str = "A"
) -> None:
    """Load a bar of `symbol` for each day, all of whose prices are the close."""
    bars = (bar(symbol, day.isoformat(), close) for day, close in closes.items())
    merge(session, "grouped_daily", *bars)


def build_all(session: "SnowflakeConnection", *days: dt.date) -> None:
    """Build every SQL mart in order, those by day for `days` only."""
    for mart in MARTS.values():
        if mart.sql:
            for day in days if mart.by_day else (None,):
                marts.build(session, mart, day)
