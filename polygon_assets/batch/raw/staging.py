"""Stages rows in a temporary Snowflake table: the types of columns, a Parquet file, its load.

Add a column type here; the statement that moves the staged rows on belongs to the caller. Rows are
never sent one by one: that is 60 times slower.
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

from polygon_assets.errors import PolygonAssetsError

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

Row = Mapping[str, Any]
ORDINAL = "_ORDINAL"
"""Column of the temporary table with each row's position in the input."""
CHANGES = "_CHANGES"
"""Optional last column of the temporary table: Airbyte's entries for values that became null."""
_ROWS_OF_A_BATCH = 20_000
_SHOWN_CHARACTERS = 300
_TIDY_SECONDS = 10


class RowError(PolygonAssetsError):
    """A row cannot be stored, and nothing was written; the message names field and row."""


@dataclass(frozen=True)
class ColumnType:
    """How a Python value is encoded for the file and decoded into the column.

    The file contains dates and times as text, because the conversion of its own date types depends
    on the loader's settings.
    """

    name: str
    """Snowflake's name of the type."""
    encode: Callable[[Any], Any]
    """Not called for None; raises ValueError, TypeError or ArithmeticError for an unfit value."""
    decode: str = "{}"
    """SQL expression that converts the staged value to the column's value."""
    carrier: str = "VARCHAR"
    """Type of the staged value."""


@dataclass(frozen=True)
class RowFile:
    """A Parquet file of rows."""

    path: Path
    columns: Mapping[str, ColumnType]
    count: int


def quoted(name: str) -> str:
    """An SQL identifier, in upper case like the names that Airbyte creates."""
    return '"' + name.upper().replace('"', '""') + '"'


@contextmanager
def row_file(
    columns: Mapping[str, ColumnType], required: Collection[str], rows: Iterable[Row]
) -> Iterator[RowFile]:
    """Write `rows` into a file that is deleted at the end. Keys without a column are left out.

    Raises RowError for an unfit value, and for a missing value of a `required` column. With a
    column CHANGES, an unfit value of any other column becomes null and gets an entry in CHANGES.
    """
    with TemporaryDirectory(prefix="polygon-load-") as directory:
        path = Path(directory) / "rows.parquet"
        yield RowFile(path, columns, _write(path, columns, required, rows))


@contextmanager
def staged_table(cursor: "SnowflakeCursor", schema: str, file: RowFile) -> Iterator[str]:
    """The name of a temporary table with the rows of `file` and ORDINAL, dropped at the end.

    Sets the session's schema to `schema`.
    """
    table = f"LOAD_{uuid.uuid4().hex.upper()}"
    definitions = ", ".join(f"{quoted(name)} {kind.carrier}" for name, kind in file.columns.items())
    cursor.execute(f"USE SCHEMA {quoted(schema)}")
    cursor.execute(
        f"CREATE TEMPORARY TABLE {table} ({definitions}, {quoted(ORDINAL)} NUMBER(38,0))"
    )
    try:
        if file.count:
            # Each table has a stage of its own, so no stage must be named, created or dropped.
            cursor.execute(f"PUT 'file://{file.path.as_posix()}' @%{table} AUTO_COMPRESS = FALSE")
            cursor.execute(
                f"COPY INTO {table} FROM @%{table} FILE_FORMAT = (TYPE = PARQUET) "
                "MATCH_BY_COLUMN_NAME = CASE_SENSITIVE PURGE = TRUE"
            )
        yield table
    finally:
        tidy(cursor, f"DROP TABLE IF EXISTS {table}")


def tidy(cursor: "SnowflakeCursor", statement: str) -> None:
    """Run a clean-up that the session's end would do too; its failure is suppressed.

    An error of the clean-up would hide the error that made it necessary.
    """
    from snowflake.connector.errors import Error

    with suppress(Error):
        cursor.execute(statement, timeout=_TIDY_SECONDS)


def _write(
    path: Path, columns: Mapping[str, ColumnType], required: Collection[str], rows: Iterable[Row]
) -> int:
    """Write the rows as Parquet; returns how many there were."""
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
    """The batch's values of the column `name`, encoded.

    Unfit values become null and are added to `changes`, by the row's number in the batch; with
    None an unfit value raises RowError.
    """
    if name == CHANGES:
        return [
            json.dumps(changes[number]) if changes and number in changes else None
            for number in range(len(batch))
        ]
    values: list[Any] = []
    for number, row in enumerate(batch):
        value = row.get(name)
        if value is None and required:
            raise RowError(f"the required field {name} is missing in {_shown(row)}")
        try:
            values.append(None if value is None else kind.encode(value))
        except (ValueError, TypeError, ArithmeticError) as error:
            if required or changes is None:
                message = f"{name}={value!r} is no {kind.name} ({error}) in {_shown(row)}"
                raise RowError(message) from None
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
        raise ValueError("neither a finite number nor text")
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
    """A time in UTC; a time without an offset counts as UTC."""
    moment = _datetime(value)
    in_utc = moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return in_utc.isoformat()


def _clock_time(value: Any) -> str:
    return _datetime(value).replace(tzinfo=None).isoformat()


def _datetime(value: Any) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)


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
