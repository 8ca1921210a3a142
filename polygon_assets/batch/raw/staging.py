"""Stages rows in a temporary Snowflake table: a Parquet file, and its load.

Add a step between rows and the temporary table here; types belong to `column_types`, moving the
staged rows into their table to the caller. Rows are never sent one by one: that is 60 times slower.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.raw.column_types import ColumnType
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
