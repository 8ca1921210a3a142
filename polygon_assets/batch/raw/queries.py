"""Queries of the raw tables that prove whether a load has arrived.

Add a question about a raw table here; loading it belongs to `load_days` and `table_writer`. Rows
are counted in Snowflake, because a sync can succeed without loading any.
"""

import datetime as dt
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_QUERIES = resources.files("polygon_assets.batch.raw") / "queries"


@dataclass(frozen=True)
class TableContents:
    """Rows of a table or of one of its days, and when the newest was read from the vendor (UTC)."""

    rows: int
    extracted_at: dt.datetime | None
    flawed_rows: int = 0
    """Rows without a value that they should have, because the vendor sent something else, such as
    NaN. In a reference table: rows with an entry in _AIRBYTE_META.changes."""


def reference_tables(connection: "SnowflakeConnection") -> dict[str, TableContents]:
    """The reference tables by stream.

    Raises snowflake.connector.errors.ProgrammingError when a table does not exist.
    """
    return {name: _contents(*counts) for name, *counts in _query(connection, "reference_tables")}


def newest_ticker_change(connection: "SnowflakeConnection") -> dt.datetime:
    """When the vendor made the newest change in RAW.TICKERS, which must not be empty."""
    [[changed]] = _query(connection, "newest_ticker_change")
    return _utc(changed)


def daily_tables(connection: "SnowflakeConnection", day: dt.date) -> dict[str, TableContents]:
    """One trading day of the daily tables, by stream.

    Raises snowflake.connector.errors.ProgrammingError when a table does not exist.
    """
    rows = _query(connection, "daily_tables", {"day": day})
    return {name: _contents(*counts) for name, *counts in rows}


def days_read_since(connection: "SnowflakeConnection", moment: dt.datetime) -> list[dt.date]:
    """Trading days of which rows were read from the vendor since `moment`, oldest first."""
    return [day for (day,) in _query(connection, "days_read_since", {"moment": moment.isoformat()})]


def open_close_tickers(connection: "SnowflakeConnection", day: dt.date) -> set[str]:
    """The tickers with official prices of one trading day."""
    return {ticker for (ticker,) in _query(connection, "open_close_tickers", {"day": day})}


def _query(
    connection: "SnowflakeConnection", name: str, parameters: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """The rows of the query in the SQL file `name`."""
    with connection.cursor() as cursor:
        cursor.execute((_QUERIES / f"{name}.sql").read_text(), parameters)
        return [tuple(row) for row in cursor.fetchall()]


def _contents(rows: int, extracted_at: dt.datetime | None, flawed_rows: int) -> TableContents:
    return TableContents(rows, _utc(extracted_at) if extracted_at else None, flawed_rows)


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)
