"""Writes a stream's records into its Snowflake table, in the shape of Airbyte's own destination.

Add a way of writing any stream with a primary key here; fetching records belongs to
`daily_records`, computing with the tables to `batch.marts`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.batch.raw import column_types, ensure_table, staging
from polygon_assets.batch.raw.column_types import column_type
from polygon_assets.batch.raw.staging import ORDINAL, quoted
from polygon_assets.errors import PolygonAssetsError

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_SQL = resources.files("polygon_assets.batch.raw") / "table_writer"
_METADATA = {
    "_AIRBYTE_RAW_ID": ("VARCHAR NOT NULL", "UUID_STRING()"),
    "_AIRBYTE_EXTRACTED_AT": ("TIMESTAMP_TZ NOT NULL", "%(extracted_at)s::TIMESTAMP_TZ"),
    "_AIRBYTE_META": (
        "VARIANT NOT NULL",
        "PARSE_JSON(%(meta_before)s || {nulled_values} || '}}')",
    ),
    "_AIRBYTE_GENERATION_ID": ("NUMBER(38,0)", "%(generation_id)s"),
}
"""Airbyte's own columns: definition and value."""


class RecordError(PolygonAssetsError):
    """A record cannot be stored, so nothing was written; names stream, field and record."""


class StreamError(PolygonAssetsError):
    """A stream cannot be stored as a table; the message names the fields and the cure."""


@dataclass(frozen=True)
class Written:
    """Counts of one load. A repeated record, or one older than its row, counts only as read."""

    read: int
    """Records."""
    inserted: int
    """Rows."""
    updated: int
    """Rows."""


def columns(stream: Stream) -> dict[str, str]:
    """Name and definition of each column of a stream's table, in Airbyte's order."""
    return _Table(stream, "RAW").columns


def ensure(connection: "SnowflakeConnection", stream: Stream) -> None:
    """Create the stream's table in RAW, or the columns that it lacks after an upgrade."""
    table = _Table(stream, "RAW")
    with connection.cursor() as cursor:
        ensure_table.ensure(cursor, table.schema, table.stream.name, table.columns)


def merge(
    connection: "SnowflakeConnection",
    stream: Stream,
    records: Iterable[Mapping[str, Any]],
    extracted_at: dt.datetime,
    generation_id: int = 0,
    *,
    schema: str = "RAW",
    sync_id: int = 0,
    null_misfits: bool = False,
) -> Written:
    """Merge the records by primary key; a row newer by cursor, then by extraction time, stays.

    Creates missing schema, table and columns, and sets the session's schema to `schema`. Like
    Airbyte, drops fields that the stream does not declare. With `null_misfits`, a value that does
    not fit its column becomes null and is listed in _AIRBYTE_META, as by Airbyte's destination; in
    a key or cursor it stays an error. Changes all or nothing. Raises RecordError before anything is
    written, StreamError, or snowflake.connector.errors.Error.
    """
    table = _Table(stream, schema, null_misfits=null_misfits)
    [read, inserted, updated] = _load(
        connection, table, records, "merge", _metadata(extracted_at, generation_id, sync_id)
    )
    return Written(read, inserted, updated)


def overwrite(
    connection: "SnowflakeConnection",
    stream: Stream,
    records: Iterable[Mapping[str, Any]],
    extracted_at: dt.datetime,
    generation_id: int = 0,
    *,
    schema: str = "RAW",
    sync_id: int = 0,
    null_misfits: bool = False,
) -> Written:
    """Replace the table's rows by the newest record of each primary key. Otherwise as `merge`."""
    table = _Table(stream, schema, null_misfits=null_misfits)
    [read, inserted] = _load(
        connection, table, records, "overwrite", _metadata(extracted_at, generation_id, sync_id)
    )
    return Written(read, inserted, 0)


def _load(
    connection: "SnowflakeConnection",
    table: "_Table",
    records: Iterable[Mapping[str, Any]],
    statement: str,
    metadata: Mapping[str, Any],
) -> tuple[int, ...]:
    """Records read, and the row counts that the statement returns."""
    try:
        types = table.types | (
            {staging.CHANGES: column_types.VARCHAR} if table.null_misfits else {}
        )
        with (
            staging.row_file(types, table.required, records) as file,
            connection.cursor() as cursor,
        ):
            ensure_table.ensure(cursor, table.schema, table.stream.name, table.columns)
            with staging.staged_table(cursor, table.schema, file) as staged:
                cursor.execute(table.statement(statement, staged), dict(metadata))
                return file.count, *(int(count) for count in cursor.fetchall()[0])
    except staging.RowError as error:
        raise RecordError(f"stream {table.stream.name}: {error}") from None


def _metadata(extracted_at: dt.datetime, generation_id: int, sync_id: int) -> dict[str, Any]:
    """Parameters of the metadata columns; `sync_id` 0 marks a load outside Airbyte."""
    if extracted_at.tzinfo is None:
        raise ValueError(f"extracted_at={extracted_at} has no time zone: pass an aware datetime")
    return {
        "extracted_at": extracted_at.isoformat(),
        "meta_before": f'{{"sync_id": {sync_id}, "changes": ',
        "generation_id": generation_id,
    }


class _Table:
    """The SQL of one stream's table."""

    def __init__(self, stream: Stream, schema: str, *, null_misfits: bool = False) -> None:
        self.stream = stream
        self.null_misfits = null_misfits
        self.schema = schema
        self.name = f"{quoted(schema)}.{quoted(stream.name)}"
        self.types = {
            field: column_type(definition) for field, definition in stream.properties.items()
        }
        self.required = (
            *stream.primary_key,
            *([stream.cursor] if stream.cursor and stream.cursor not in stream.primary_key else []),
        )
        self._refuse_invalid_streams()

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name and definition of each column, in Airbyte's order."""
        constraints = dict.fromkeys(self.required, " NOT NULL")
        return {name: definition for name, (definition, _) in _METADATA.items()} | {
            field.upper(): kind.name + constraints.get(field, "")
            for field, kind in self.types.items()
        }

    def statement(self, name: str, staged: str) -> str:
        """The SQL file `name`, filled in for this table and the table of staged rows."""
        columns = [quoted(column) for column in self.columns]
        nulled = f"COALESCE({quoted(staging.CHANGES)}, '[]')" if self.null_misfits else "'[]'"
        metadata = (value.format(nulled_values=nulled) for _, value in _METADATA.values())
        values = [*metadata, *(self._decoding_sql(field) for field in self.types)]
        newest = [f"{self._decoding_sql(self.stream.cursor)} DESC"] if self.stream.cursor else []
        return _template(name).substitute(
            table=self.name,
            staged=staged,
            key=", ".join(quoted(field) for field in self.stream.primary_key),
            same_key=" AND ".join(
                f"stored.{quoted(field)} = loaded.{quoted(field)}"
                for field in self.stream.primary_key
            ),
            newest_first=", ".join([*newest, f"{quoted(ORDINAL)} DESC"]),
            not_older=self._not_older(),
            values=", ".join(
                f"{value} AS {column}" for value, column in zip(values, columns, strict=True)
            ),
            columns=", ".join(columns),
            loaded_columns=", ".join(f"loaded.{column}" for column in columns),
            assignments=", ".join(f"{column} = loaded.{column}" for column in columns),
        )

    def _not_older(self) -> str:
        extracted = 'stored."_AIRBYTE_EXTRACTED_AT" <= loaded."_AIRBYTE_EXTRACTED_AT"'
        if not self.stream.cursor:
            return extracted
        stored, loaded = (f"{side}.{quoted(self.stream.cursor)}" for side in ("stored", "loaded"))
        return f"({stored} IS NULL OR {stored} < {loaded} OR ({stored} = {loaded} AND {extracted}))"

    def _decoding_sql(self, field: str) -> str:
        return self.types[field].decode.format(quoted(field))

    def _refuse_invalid_streams(self) -> None:
        name = self.stream.name
        if not self.stream.primary_key:
            raise StreamError(
                f"stream {name} has no primary key to merge records by: declare one in the manifest"
            )
        if missing := [field for field in self.required if field not in self.types]:
            raise StreamError(
                f"stream {name} does not declare {', '.join(missing)} of its primary key or "
                "cursor: add it to the schema in the manifest"
            )
        columns: dict[str, str] = {}
        for field in self.types:
            if other := columns.get(field.upper()):
                raise StreamError(
                    f"fields {other} and {field} of stream {name} would be the same column: "
                    "rename one of them in the manifest"
                )
            columns[field.upper()] = field


def _template(name: str) -> Template:
    return Template((_SQL / f"{name}.sql").read_text())
