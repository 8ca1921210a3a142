"""Rows into Snowflake by file: what each type of column is in the file, and a temporary table that holds the rows of one load.

What then happens to the rows is the caller's statement. Rows are never sent one by one: that is 60 times slower.
"""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

Row = Mapping[str, Any]
ORDINAL = "_ORDINAL"
"""Column of the temporary table that numbers the rows in the order in which they came."""
CHANGES = "_CHANGES"
"""Column of the temporary table that says, in Airbyte's words, which values of a row were made null; the last, where it is asked for."""
_ROWS_OF_A_BATCH = 20_000
_SHOWN_CHARACTERS = 300
_TIDY_SECONDS = 10


class RowError(Exception):
    """A row cannot be stored; the message names field and row. Nothing was written."""


@dataclass(frozen=True)
class ColumnType:
    """How a value travels: Python's, then the file's, then the column's.

    Dates and times travel as text: what a loader makes of a file's own types depends on its settings.
    """

    name: str
    """Snowflake's."""
    encode: Callable[[Any], Any]
    """Raises ValueError, TypeError or ArithmeticError for what is no such value; not called for None."""
    decode: str = "{}"
    """SQL that makes the column's value of the loaded one."""
    carrier: str = "VARCHAR"
    """Type of the loaded value."""


@dataclass(frozen=True)
class RowFile:
    """Rows in a file, ready to be loaded."""

    path: Path
    columns: Mapping[str, ColumnType]
    count: int


def quoted(name: str) -> str:
    """An identifier in SQL, upper-case as Airbyte makes them."""
    return '"' + name.upper().replace('"', '""') + '"'


@contextmanager
def row_file(
    columns: Mapping[str, ColumnType], required: Collection[str], rows: Iterable[Row]
) -> Iterator[RowFile]:
    """Write `rows` into a file that is gone at the end. Keys of a row that are no column are left out.

    Raises RowError for a value that its column cannot hold, or for none where one is `required`. With a column CHANGES, such a value is
    null instead where none is `required`, and named in that column.
    """
    with TemporaryDirectory(prefix="polygon-load-") as directory:
        path = Path(directory) / "rows.parquet"
        yield RowFile(path, columns, _write(path, columns, required, rows))


@contextmanager
def loaded(cursor: "SnowflakeCursor", schema: str, file: RowFile) -> Iterator[str]:
    """The name of a temporary table with the rows of `file` and ORDINAL, dropped at the end; the session is left in `schema`."""
    table = f"LOAD_{uuid.uuid4().hex.upper()}"
    definitions = ", ".join(f"{quoted(name)} {kind.carrier}" for name, kind in file.columns.items())
    cursor.execute(f"USE SCHEMA {quoted(schema)}")
    cursor.execute(
        f"CREATE TEMPORARY TABLE {table} ({definitions}, {quoted(ORDINAL)} NUMBER(38,0))"
    )
    try:
        if file.count:
            # Into the stage that each table has: nothing else to name, to create or to drop.
            cursor.execute(f"PUT 'file://{file.path.as_posix()}' @%{table} AUTO_COMPRESS = FALSE")
            cursor.execute(
                f"COPY INTO {table} FROM @%{table} FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE PURGE = TRUE"
            )
        yield table
    finally:
        tidy(cursor, f"DROP TABLE IF EXISTS {table}")


def tidy(cursor: "SnowflakeCursor", statement: str) -> None:
    """Run what the end of the session would do as well: that it cannot be done must not hide why the work before it failed."""
    from snowflake.connector.errors import Error

    with suppress(Error):
        cursor.execute(statement, timeout=_TIDY_SECONDS)


def _write(
    path: Path, columns: Mapping[str, ColumnType], required: Collection[str], rows: Iterable[Row]
) -> int:
    """The rows as Parquet; returns how many."""
    import pyarrow as pa  # 0.1 s CPU
    from pyarrow import parquet

    carriers = {
        "VARCHAR": pa.string(),
        "NUMBER(38,0)": pa.int64(),
        "FLOAT": pa.float64(),
        "BOOLEAN": pa.bool_(),
    }
    fields = [pa.field(name.upper(), carriers[kind.carrier]) for name, kind in columns.items()]
    schema = pa.schema([*fields, pa.field(ORDINAL, pa.int64())])
    count = 0
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, _ROWS_OF_A_BATCH)):
            changes: dict[int, list[dict[str, str]]] | None = {} if CHANGES in columns else None
            arrays = [
                pa.array(_encoded(name, kind, name in required, batch, changes), field.type)
                for (name, kind), field in zip(columns.items(), fields, strict=True)
            ]
            writer.write_batch(
                pa.record_batch([*arrays, pa.array(range(count, count + len(batch)))], schema)
            )
            count += len(batch)
    return count


def _encoded(
    name: str,
    kind: ColumnType,
    required: bool,
    batch: Sequence[Row],
    changes: dict[int, list[dict[str, str]]] | None,
) -> list[Any]:
    """`changes`: by the number of a row in the batch, to be added to; without it a value that does not fit is an error."""
    if name == CHANGES:
        return [
            json.dumps(changes[number]) if changes and number in changes else None
            for number in range(len(batch))
        ]
    values: list[Any] = []
    for number, row in enumerate(batch):
        value = row.get(name)
        if value is None and required:
            raise RowError(f"no {name}, which must not be empty, in {_shown(row)}")
        try:
            values.append(None if value is None else kind.encode(value))
        except (ValueError, TypeError, ArithmeticError) as error:
            if required or changes is None:
                raise RowError(
                    f"{name}={value!r} is no {kind.name} ({error}) in {_shown(row)}"
                ) from None
            values.append(None)
            change = {
                "field": name,
                "change": "NULLED",
                "reason": "DESTINATION_TYPECAST_ERROR",
                "value": repr(value)[:_SHOWN_CHARACTERS],
            }
            changes.setdefault(number, []).append(change)
    return values


def _shown(row: Row) -> str:
    text = repr(dict(row))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float | Decimal) and not isfinite(value):
        raise ValueError("no number, and no text")
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or value != int(value):
        raise ValueError("not a whole number")
    number = int(value)
    if abs(number) >= 2**63:
        raise ValueError("too large")
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool | str):
        raise ValueError("not a number")
    number = float(value)
    if not isfinite(number):
        raise ValueError("not a finite number")
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _date(value: Any) -> str:
    return (value if isinstance(value, dt.date) else dt.date.fromisoformat(value)).isoformat()


def _moment(value: Any) -> str:
    """Without an offset it counts as UTC."""
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    return (
        moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    ).isoformat()


def _clock_time(value: Any) -> str:
    return (
        (value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value))
        .replace(tzinfo=None)
        .isoformat()
    )


def _decimal(value: Any) -> str:
    number = Decimal(value)
    if isinstance(value, float) or not number.is_finite():
        raise ValueError("not an exact number")
    return format(number, "f")


VARCHAR = ColumnType("VARCHAR", _text)
INTEGER = ColumnType("NUMBER(38,0)", _integer, carrier="NUMBER(38,0)")
FLOAT = ColumnType("FLOAT", _float, carrier="FLOAT")
BOOLEAN = ColumnType("BOOLEAN", _boolean, carrier="BOOLEAN")
DATE = ColumnType("DATE", _date, "{}::DATE")
TIMESTAMP_TZ = ColumnType("TIMESTAMP_TZ", _moment, "{}::TIMESTAMP_TZ")
TIMESTAMP_NTZ = ColumnType("TIMESTAMP_NTZ", _clock_time, "{}::TIMESTAMP_NTZ")
VOLUME = ColumnType("NUMBER(28,6)", _decimal, "{}::NUMBER(28,6)")
VARIANT = ColumnType("VARIANT", json.dumps, "PARSE_JSON({})")
OBJECT = ColumnType("OBJECT", json.dumps, "PARSE_JSON({})::OBJECT")
ARRAY = ColumnType("ARRAY", json.dumps, "PARSE_JSON({})::ARRAY")
