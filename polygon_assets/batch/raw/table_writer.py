"""Writes the records of a stream into its table of Snowflake, in the shape of Airbyte's own destination.

What is fetched, and what is made of the tables, does not belong here: any stream with a primary key can be written.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.batch.raw import ensure_table, staging
from polygon_assets.batch.raw.staging import ORDINAL, ColumnType, quoted

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_SQL = resources.files("polygon_assets.batch.raw") / "table_writer"
_METADATA_COLUMNS = {
    "_AIRBYTE_RAW_ID": "VARCHAR NOT NULL",
    "_AIRBYTE_EXTRACTED_AT": "TIMESTAMP_TZ NOT NULL",
    "_AIRBYTE_META": "VARIANT NOT NULL",
    "_AIRBYTE_GENERATION_ID": "NUMBER(38,0)",
}
_METADATA_VALUES = (
    "UUID_STRING()",
    "%(extracted_at)s::TIMESTAMP_TZ",
    "PARSE_JSON(%(meta_before)s || {changes} || '}}')",
    "%(generation_id)s",
)
# What Airbyte's destination makes of a JSON schema; without a type it is a VARIANT.
_TYPES = {
    "string": staging.VARCHAR,
    "integer": staging.INTEGER,
    "number": staging.FLOAT,
    "boolean": staging.BOOLEAN,
    "object": staging.OBJECT,
    "array": staging.ARRAY,
}


class RecordError(Exception):
    """A record cannot be stored; the message names stream, field and record. Nothing of its load was written."""


class StreamError(Exception):
    """A stream cannot be a table; the message names the fields and the cure."""


@dataclass(frozen=True)
class Written:
    """What a load did: records read, rows inserted, rows replaced. A record that is repeated, or older than its row, is read alone."""

    read: int
    inserted: int
    updated: int


def columns(stream: Stream) -> dict[str, str]:
    """Name and definition of each column of a stream's table, in Airbyte's order."""
    return _Table(stream, "RAW").columns


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
    """Put each record into the row with its primary key; a row that is newer, by cursor and then by when it was extracted, stays.

    Creates schema, table and columns that are missing. Fields that the stream does not declare are left out, as Airbyte leaves them out.
    Raises RecordError before anything is written, StreamError, or snowflake.connector.errors.Error; the table is changed wholly or not at
    all. The session is left in `schema`. With `null_misfits`, a value that its column cannot hold is null, as Airbyte's destination
    makes it, and _AIRBYTE_META names it; one of the key or the cursor is still an error.
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
    """Let the table hold exactly these records, of those with one primary key the newest. Otherwise as `merge`."""
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
    """Records read, and the counts that the statement answers with."""
    try:
        types = table.types | ({staging.CHANGES: staging.VARCHAR} if table.null_misfits else {})
        with (
            staging.row_file(types, table.required, records) as file,
            connection.cursor() as cursor,
        ):
            ensure_table.ensure(cursor, table.schema, table.stream.name, table.columns)
            with staging.loaded(cursor, table.schema, file) as loaded:
                cursor.execute(table.statement(statement, loaded), dict(metadata))
                return file.count, *(int(count) for count in cursor.fetchall()[0])
    except staging.RowError as error:
        raise RecordError(f"stream {table.stream.name}: {error}") from None


def _metadata(extracted_at: dt.datetime, generation_id: int, sync_id: int) -> dict[str, Any]:
    """Airbyte's shape; `sync_id` 0 is a load that no sync of Airbyte's did."""
    if extracted_at.tzinfo is None:
        raise ValueError(f"extracted_at={extracted_at} has no time zone")
    return {
        "extracted_at": extracted_at.isoformat(),
        "meta_before": f'{{"sync_id": {sync_id}, "changes": ',
        "generation_id": generation_id,
    }


class _Table:
    """The table of a stream, as the parts of SQL that name it."""

    def __init__(self, stream: Stream, schema: str, *, null_misfits: bool = False) -> None:
        self.stream = stream
        self.null_misfits = null_misfits
        self.schema = schema
        self.name = f"{quoted(schema)}.{quoted(stream.name)}"
        self.types = {field: _type(definition) for field, definition in stream.properties.items()}
        self.required = (
            *stream.primary_key,
            *([stream.cursor] if stream.cursor and stream.cursor not in stream.primary_key else []),
        )
        self._refuse_what_no_table_can_hold()

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name and definition of each column, in Airbyte's order."""
        nulls = dict.fromkeys(self.required, " NOT NULL")
        return _METADATA_COLUMNS | {
            field.upper(): kind.name + nulls.get(field, "") for field, kind in self.types.items()
        }

    def statement(self, name: str, loaded: str) -> str:
        """The SQL file `name` for this table and the table of loaded rows."""
        columns = [quoted(column) for column in self.columns]
        changes = f"COALESCE({quoted(staging.CHANGES)}, '[]')" if self.null_misfits else "'[]'"
        metadata = (value.format(changes=changes) for value in _METADATA_VALUES)
        values = [*metadata, *(self._decoded(field) for field in self.types)]
        newest = [f"{self._decoded(self.stream.cursor)} DESC"] if self.stream.cursor else []
        return _template(name).substitute(
            table=self.name,
            loaded=loaded,
            key=", ".join(quoted(field) for field in self.stream.primary_key),
            same_key=" AND ".join(
                f"held.{quoted(field)} = loaded.{quoted(field)}"
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
        extracted = 'held."_AIRBYTE_EXTRACTED_AT" <= loaded."_AIRBYTE_EXTRACTED_AT"'
        if not self.stream.cursor:
            return extracted
        held, loaded = (f"{side}.{quoted(self.stream.cursor)}" for side in ("held", "loaded"))
        return f"({held} IS NULL OR {held} < {loaded} OR ({held} = {loaded} AND {extracted}))"

    def _decoded(self, field: str) -> str:
        return self.types[field].decode.format(quoted(field))

    def _refuse_what_no_table_can_hold(self) -> None:
        name = self.stream.name
        if not self.stream.primary_key:
            raise StreamError(
                f"stream {name} has no primary key, by which a record is told from another: declare one"
            )
        if missing := [field for field in self.required if field not in self.types]:
            raise StreamError(
                f"stream {name} does not declare {', '.join(missing)}, of its primary key or cursor: add it to the schema"
            )
        columns: dict[str, str] = {}
        for field in self.types:
            if other := columns.get(field.upper()):
                raise StreamError(
                    f"fields {other} and {field} of stream {name} would be one column: rename one of them"
                )
            columns[field.upper()] = field


def _type(definition: Mapping[str, Any]) -> ColumnType:
    """The column for a field's JSON schema."""
    kinds = definition.get("type", ())
    named = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    if len(named) != 1:
        return staging.VARIANT
    if named == ["string"] and definition.get("format") == "date":
        return staging.DATE
    if named == ["string"] and definition.get("format") == "date-time":
        return (
            staging.TIMESTAMP_NTZ
            if definition.get("airbyte_type") == "timestamp_without_timezone"
            else staging.TIMESTAMP_TZ
        )
    return _TYPES[named[0]]


def _template(name: str) -> Template:
    return Template((_SQL / f"{name}.sql").read_text())
