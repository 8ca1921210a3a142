"""What the raw tables hold: the questions whose answers prove that a load has arrived. How it got there is no matter here.

Everything is counted in Snowflake, so that a sync that says it succeeded is not taken at its word.
"""

import datetime as dt
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_QUERIES = resources.files("polygon_assets.batch") / "loaded"


@dataclass(frozen=True)
class Held:
    """Rows of a table (or of one day of it), and when the newest of them was read from the vendor."""

    rows: int
    extracted_at: dt.datetime | None
    newest_change: dt.datetime | None = None
    """Of the tickers: the vendor's newest change among them."""


def reference_tables(connection: "SnowflakeConnection") -> dict[str, Held]:
    """By stream. Raises snowflake.connector.errors.ProgrammingError when a table is not there."""
    return {name: Held(rows, _utc(read), _utc(changed)) for name, rows, read, changed in _ask(connection, "reference_tables")}


def daily_tables(connection: "SnowflakeConnection", day: dt.date) -> dict[str, Held]:
    """By stream, of one trading day. Raises snowflake.connector.errors.ProgrammingError when a table is not there."""
    return {name: Held(rows, _utc(read)) for name, rows, read in _ask(connection, "daily_tables", {"day": day})}


def _ask(connection: "SnowflakeConnection", query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute((_QUERIES / f"{query}.sql").read_text(), parameters)
        return [tuple(row) for row in cursor.fetchall()]


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.astimezone(dt.UTC) if moment else None
