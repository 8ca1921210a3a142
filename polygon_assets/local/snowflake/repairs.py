"""What fakesnow 0.12.1 gets wrong where its users' SQL is right; each function here takes the place of one of its own.

What fakesnow does not claim to do is not repaired.
"""

import importlib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection
from fakesnow import arrow, copy_into, info_schema, transforms
from fakesnow.rowtype import ColumnInfo
from sqlglot import exp

from polygon_assets.local.snowflake import statements

_timestamps_of_fakesnow = arrow.timestamp_to_sf_struct
_table_of_fakesnow = arrow.to_sf


def describe_table(
    table: exp.Table,
    duck_conn: DuckDBPyConnection,
    current_database: str | None,
    current_schema: str | None,
) -> list[tuple[str, str]]:
    """Columns of the table that a COPY fills. fakesnow looks for a temporary table in its schema, where DuckDB does not have it."""
    sql = "SELECT 1 FROM duckdb_tables() WHERE temporary AND table_name = ?"
    path: tuple[str | None, ...] = (
        table.catalog or current_database,
        table.db or current_schema,
        table.name,
    )
    if duck_conn.execute(sql, [table.name]).fetchone():
        path = (table.name,)
    quoted = ".".join(f'"{name}"' for name in path)
    return [(row[0], row[1]) for row in duck_conn.execute(f"DESCRIBE {quoted}").fetchall()]


def timestamps(ts: "pa.Array | pa.ChunkedArray") -> "pa.Array":
    """Times as the connector expects them. fakesnow sends no time as the beginning of 1970."""
    values = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
    structs = _timestamps_of_fakesnow(pc.fill_null(values, 0))
    return pa.StructArray.from_arrays(
        structs.flatten(), fields=list(structs.type), mask=pc.is_null(values)
    )


def table(table: "pa.Table", rowtype: list[ColumnInfo]) -> "pa.Table":
    """Rows as the connector expects them. It reads whole numbers as int; the sum of integers comes from DuckDB as a decimal."""
    columns = [
        _as_integers(column) if _is_whole(column.type) else column for column in table.columns
    ]
    return _table_of_fakesnow(pa.Table.from_arrays(columns, names=table.column_names), rowtype)


def _is_whole(kind: "pa.DataType") -> bool:
    return bool(pa.types.is_decimal128(kind)) and kind.scale == 0


def _as_integers(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column  # too large: a decimal in Snowflake too


def apply() -> None:
    """Put them in place; a second time changes nothing."""
    copy_into._describe_table = describe_table
    arrow.timestamp_to_sf_struct = timestamps
    # The package has a function of the same name as its module.
    server: Any = importlib.import_module("fakesnow.server")
    server.to_sf = table
    transforms.numeric_agg_implicit_cast = statements.exact_aggregate
    # The sum of integers is a HUGEINT of DuckDB, which is a NUMBER(38,0) like its BIGINT.
    columns = info_schema.SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_COLUMNS_VIEW
    info_schema.SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_COLUMNS_VIEW = columns.replace(
        "='BIGINT'", " IN ('BIGINT', 'HUGEINT')"
    )
