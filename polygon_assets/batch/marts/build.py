"""Fills the marts: a table at once, or one day of it; readers see the old rows or the new ones, and a repetition changes nothing.

What the rows are stands in the SQL files.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.marts.split_decisions import SplitDecision, as_json
from polygon_assets.batch.marts.tables import SCHEMA, Mart
from polygon_assets.batch.raw import ensure_table, staging
from polygon_assets.batch.raw.staging import quoted

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor


def build(
    connection: "SnowflakeConnection",
    mart: Mart,
    day: dt.date | None = None,
    decisions: Sequence[SplitDecision] = (),
) -> int:
    """Make the mart's rows anew, those of `day` where it is filled by day; returns how many were made.

    `decisions` are what people decided about contradictory splits. Creates table and columns that
    are missing. Raises ValueError for a day too many or too few, and snowflake.connector.errors.Error.
    """
    if mart.sql is None:
        raise ValueError(f"the rows of {mart.name} are not made by SQL: use replace_day")
    if (day is not None) != mart.by_day:
        raise ValueError(
            f"{mart.name} is filled {'day by day: name one' if mart.by_day else 'at once: no day can be chosen'} (day={day})"
        )
    columns = ", ".join(quoted(name) for name, _, _ in mart.columns)
    with connection.cursor() as cursor:
        ensure_table.ensure(cursor, SCHEMA, mart.name, mart.definitions)
        parameters = {"day": day, "decisions": as_json(decisions)}
        if mart.by_day:
            which, rows = "trading_day = %(day)s", mart.sql
        elif mart.kept_sql:
            which = f"ticker NOT IN ({mart.kept_sql})"
            rows = f"SELECT * FROM ({mart.sql}) AS made WHERE {which}"
        else:
            cursor.execute(
                f"INSERT OVERWRITE INTO {mart.table} ({columns})\n{mart.sql}", parameters
            )
            return _count(cursor)
        with _replaced(cursor, mart, which, parameters):
            cursor.execute(f"INSERT INTO {mart.table} ({columns})\n{rows}", parameters)
            return _count(cursor)


def replace_day(
    connection: "SnowflakeConnection", mart: Mart, day: dt.date, rows: Iterable[Mapping[str, Any]]
) -> int:
    """Put `rows`, keyed by column in lower case, in place of all that the mart holds of `day`; returns how many.

    Raises RowError for a value that its column cannot hold and ValueError for a row of another day, before anything is changed.
    """
    types = {name.lower(): kind for name, kind in mart.types.items()}
    key = [name.lower() for name in mart.primary_key]
    values = ", ".join(kind.decode.format(quoted(name)) for name, kind in types.items())
    with staging.row_file(types, key, _only_of(day, rows)) as file, connection.cursor() as cursor:
        ensure_table.ensure(cursor, SCHEMA, mart.name, mart.definitions)
        with (
            staging.loaded(cursor, SCHEMA, file) as loaded,
            _replaced(cursor, mart, "trading_day = %(day)s", {"day": day}),
        ):
            cursor.execute(
                f"INSERT INTO {mart.table} ({', '.join(map(quoted, types))}) SELECT {values} FROM {loaded}"
            )
    return file.count


@contextmanager
def _replaced(
    cursor: "SnowflakeCursor", mart: Mart, which: str, parameters: dict[str, Any]
) -> Iterator[None]:
    """A transaction that begins by deleting the rows to be made anew, `which` as a condition."""
    cursor.execute("BEGIN")
    try:
        cursor.execute(f"DELETE FROM {mart.table} WHERE {which}", parameters)
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
    """Rows that the INSERT just executed has inserted."""
    return int(cursor.fetchall()[0][0])
