"""What Snowflake holds: its tables, their rows, and the trading days that are loaded.

Add a question about Snowflake's state here; loading belongs to `batch`. Snowflake answers counts
and maxima from its metadata; only the days of the facts need a warehouse.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from polygon_assets.inspection import WarehouseUnreachableError
from polygon_assets.inspection.tables import TableFacts
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

ANSWER_SECONDS = 30
FACT_TABLE = "MARTS.FACT_DAILY_TRADING"
COMPARISON_TABLE = "MARTS.STREAM_VS_BATCH"


def tables(settings: Settings) -> dict[str, TableFacts]:
    """By `SCHEMA.TABLE`; the newest time is the last load, or midnight of the newest trading day.

    Raises WarehouseUnreachableError.
    """
    with _connection(settings) as connection:
        return {
            name: _facts(connection, name, newest_by)
            for name, newest_by in _names(connection).items()
        }


def fact_days(settings: Settings) -> dict[dt.date, int]:
    """Rows of the daily facts by trading day; empty before the table exists.

    Raises WarehouseUnreachableError.
    """
    with _connection(settings) as connection:
        if FACT_TABLE not in _names(connection):
            return {}
        return dict(_rows(connection, _sql("fact_days")))


def verdicts(settings: Settings, day: dt.date) -> dict[str, int]:
    """Symbols of a day by verdict; empty before it is compared.

    Raises WarehouseUnreachableError.
    """
    with _connection(settings) as connection:
        if COMPARISON_TABLE not in _names(connection):
            return {}
        return dict(_rows(connection, _sql("verdicts"), {"day": day}))


def _names(connection: "SnowflakeConnection") -> dict[str, str | None]:
    """Each table, with the column that holds its newest time."""
    return {
        f"{schema}.{table}": newest_by
        for schema, table, newest_by in _rows(connection, _sql("warehouse_tables"))
    }


def _facts(connection: "SnowflakeConnection", name: str, newest_by: str | None) -> TableFacts:
    # The names come from the information schema, and a name cannot be bound.
    [(rows, newest)] = _rows(
        connection,
        f"SELECT count(*), {f'max({newest_by})' if newest_by else 'NULL'} FROM {_quoted(name)}",
    )
    return TableFacts(rows, _utc(newest))


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


def _rows(
    connection: "SnowflakeConnection", sql: str, parameters: dict[str, object] | None = None
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        result = cursor.execute(sql, parameters)
        # None only for an asynchronous execution.
        return [tuple(row) for row in result.fetchall()] if result else []


@contextmanager
def _connection(settings: Settings) -> Iterator["SnowflakeConnection"]:
    from snowflake.connector.errors import Error

    from polygon_assets.clients import snowflake

    try:
        with snowflake.connect(settings, ANSWER_SECONDS) as connection:
            yield connection
    except snowflake.SnowflakeError as error:
        raise WarehouseUnreachableError(str(error)) from error
    except Error as error:
        raise WarehouseUnreachableError(f"Snowflake refused a query: {error}") from error


def _sql(name: str) -> str:
    return resources.files("polygon_assets.inspection").joinpath(f"{name}.sql").read_text()


def _utc(moment: dt.datetime | dt.date | None) -> dt.datetime | None:
    if moment is None or isinstance(moment, dt.datetime):
        return moment
    return dt.datetime.combine(moment, dt.time(), dt.UTC)
