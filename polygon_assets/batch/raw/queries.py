"""What the raw tables hold: the questions whose answers prove that a load has arrived. How it got there is no matter here.

Everything is counted in Snowflake, so that a sync that says it succeeded is not taken at its word.
"""

import datetime as dt
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_QUERIES = resources.files("polygon_assets.batch.raw") / "queries"


@dataclass(frozen=True)
class Held:
    """Rows of a table (or of one day of it), and when the newest of them was read from the vendor."""

    rows: int
    extracted_at: dt.datetime | None
    flawed_rows: int = 0
    """Rows without a value that they should have: the vendor sent something else, such as NaN. Of a reference table, those that
    _AIRBYTE_META.changes names."""


def reference_tables(connection: "SnowflakeConnection") -> dict[str, Held]:
    """By stream. Raises snowflake.connector.errors.ProgrammingError when a table is not there."""
    return {name: _held(*held) for name, *held in _ask(connection, "reference_tables")}


def newest_ticker_change(connection: "SnowflakeConnection") -> dt.datetime:
    """When the vendor changed what it changed last, of the tickers that are in the table; there must be some."""
    [[changed]] = _ask(connection, "newest_ticker_change")
    return _utc(changed)


def daily_tables(connection: "SnowflakeConnection", day: dt.date) -> dict[str, Held]:
    """By stream, of one trading day. Raises snowflake.connector.errors.ProgrammingError when a table is not there."""
    return {name: _held(*held) for name, *held in _ask(connection, "daily_tables", {"day": day})}


def days_read_since(connection: "SnowflakeConnection", moment: dt.datetime) -> list[dt.date]:
    """Trading days of which a daily table has rows that were read from the vendor since then, oldest first."""
    return [day for (day,) in _ask(connection, "days_read_since", {"moment": moment.isoformat()})]


def open_close_tickers(connection: "SnowflakeConnection", day: dt.date) -> set[str]:
    """Those with official prices of one trading day."""
    return {ticker for (ticker,) in _ask(connection, "open_close_tickers", {"day": day})}


def _ask(
    connection: "SnowflakeConnection", query: str, parameters: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute((_QUERIES / f"{query}.sql").read_text(), parameters)
        return [tuple(row) for row in cursor.fetchall()]


def _held(rows: int, extracted_at: dt.datetime | None, flawed_rows: int) -> Held:
    return Held(rows, _utc(extracted_at) if extracted_at else None, flawed_rows)


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)
