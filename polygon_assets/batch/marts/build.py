"""Fills the marts, a whole table or one day, atomically and idempotently.

Add a way of replacing rows here; the query of a mart's rows belongs to its SQL file. Readers see
either the old rows or the new.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.marts.columns import SCHEMA, Mart
from polygon_assets.batch.marts.split_decisions import SplitDecision, as_json
from polygon_assets.batch.raw import ensure_table, staging
from polygon_assets.batch.raw.staging import quoted

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

SAMPLE_ROWS = 5


def build(
    connection: "SnowflakeConnection",
    mart: Mart,
    day: dt.date | None = None,
    decisions: Sequence[SplitDecision] = (),
) -> int:
    """Rebuild the mart's rows, or those of `day` if it is filled by day; returns their number.

    Rows of the tickers in `mart.kept_sql` stay as they are.

    `decisions` are people's decisions about contradictory splits. Creates missing table and
    columns. Raises ValueError if `day` does not suit the mart, and
    snowflake.connector.errors.Error.
    """
    if mart.sql is None:
        raise ValueError(f"{mart.name} has no SQL file to build it from: use replace_day")
    if (day is not None) != mart.by_day:
        rule = "day by day: pass a day" if mart.by_day else "as a whole: pass no day"
        raise ValueError(f"{mart.name} is filled {rule} (day={day})")
    columns = ", ".join(quoted(name) for name, _, _ in mart.columns)
    with connection.cursor() as cursor:
        ensure_table.ensure(cursor, SCHEMA, mart.name, mart.definitions)
        parameters = {"day": day, "decisions": as_json(decisions)}
        if mart.by_day:
            replaced, rows = "trading_day = %(day)s", mart.sql
        elif mart.kept_sql:
            replaced = f"ticker NOT IN ({mart.kept_sql})"
            rows = f"SELECT * FROM ({mart.sql}) AS made WHERE {replaced}"
        else:
            cursor.execute(
                f"INSERT OVERWRITE INTO {mart.table} ({columns})\n{mart.sql}", parameters
            )
            return _count(cursor)
        with _replacing(cursor, mart, replaced, parameters):
            cursor.execute(f"INSERT INTO {mart.table} ({columns})\n{rows}", parameters)
            return _count(cursor)


def sample(
    connection: "SnowflakeConnection", mart: Mart, day: dt.date | None = None
) -> list[tuple[Any, ...]]:
    """A few rows of the mart, or of its `day`, in the order of `mart.columns`; any rows.

    Without an order, because Snowflake then reads one part of the table. Raises
    snowflake.connector.errors.Error.
    """
    columns = ", ".join(quoted(name) for name, _, _ in mart.columns)
    condition = "WHERE trading_day = %(day)s" if day else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {mart.table} {condition} LIMIT {SAMPLE_ROWS}", {"day": day}
        )
        return [tuple(row) for row in cursor.fetchall()]


def replace_day(
    connection: "SnowflakeConnection", mart: Mart, day: dt.date, rows: Iterable[Mapping[str, Any]]
) -> int:
    """Replace the mart's rows of `day` by `rows`, keyed by lower-case column; returns their number.

    Raises RowError for an unfit value and ValueError for a row of another day, both before
    anything is changed.
    """
    types = {name.lower(): kind for name, kind in mart.types.items()}
    key = [name.lower() for name in mart.primary_key]
    values = ", ".join(kind.decode.format(quoted(name)) for name, kind in types.items())
    with staging.row_file(types, key, _only_of(day, rows)) as file, connection.cursor() as cursor:
        ensure_table.ensure(cursor, SCHEMA, mart.name, mart.definitions)
        with (
            staging.staged_table(cursor, SCHEMA, file) as staged,
            _replacing(cursor, mart, "trading_day = %(day)s", {"day": day}),
        ):
            columns = ", ".join(map(quoted, types))
            cursor.execute(f"INSERT INTO {mart.table} ({columns}) SELECT {values} FROM {staged}")
    return file.count


@contextmanager
def _replacing(
    cursor: "SnowflakeCursor", mart: Mart, condition: str, parameters: dict[str, Any]
) -> Iterator[None]:
    """A transaction that begins by deleting the rows that meet `condition`."""
    cursor.execute("BEGIN")
    try:
        cursor.execute(f"DELETE FROM {mart.table} WHERE {condition}", parameters)
        yield
        cursor.execute("COMMIT")
    except BaseException:
        staging.tidy(cursor, "ROLLBACK")
        raise


def _only_of(day: dt.date, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        if row["trading_day"] != day:
            raise ValueError(f"a row of {row['trading_day']} among those of {day}: {dict(row)}")
        yield row


def _count(cursor: "SnowflakeCursor") -> int:
    """The number of rows inserted by the cursor's last statement."""
    return int(cursor.fetchall()[0][0])
