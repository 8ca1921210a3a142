"""Fixes for faults of fakesnow 0.12.1 with correct SQL: each function replaces one of fakesnow's.

Add the fix of a fault here; features that fakesnow lacks belong to `statements`.
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
    """The columns of the table that a COPY fills.

    fakesnow looks for a temporary table in its schema, but DuckDB keeps it outside of all schemas.
    """
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
    """Times in the connector's form, with NULL as NULL: fakesnow sends the start of 1970 for it."""
    values = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
    structs = _timestamps_of_fakesnow(pc.fill_null(values, 0))
    return pa.StructArray.from_arrays(
        structs.flatten(), fields=list(structs.type), mask=pc.is_null(values)
    )


def table(table: "pa.Table", rowtype: list[ColumnInfo]) -> "pa.Table":
    """Rows in the connector's form, with whole numbers as int.

    DuckDB returns the sum of integers as a decimal.
    """
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
        return column  # too large for 64 bits: Snowflake returns a decimal too


def apply() -> None:
    """Replace fakesnow's functions; a second call changes nothing."""
    copy_into._describe_table = describe_table
    arrow.timestamp_to_sf_struct = timestamps
    # importlib, because the package also has a function of this name.
    server: Any = importlib.import_module("fakesnow.server")
    server.to_sf = table
    transforms.numeric_agg_implicit_cast = statements.exact_aggregate
    # DuckDB's sum of integers is a HUGEINT, which is a NUMBER(38,0) just like a BIGINT.
    columns = info_schema.SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_COLUMNS_VIEW
    info_schema.SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_COLUMNS_VIEW = columns.replace(
        "='BIGINT'", " IN ('BIGINT', 'HUGEINT')"
    )
