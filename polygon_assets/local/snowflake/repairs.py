"""What fakesnow 0.12.1 gets wrong where its users' SQL is right; each function here takes the place of one of its own.

What fakesnow does not claim to do is not repaired.
"""

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection
from fakesnow import arrow, copy_into
from sqlglot import exp

_timestamps_of_fakesnow = arrow.timestamp_to_sf_struct


def describe_table(
    table: exp.Table, duck_conn: DuckDBPyConnection, current_database: str | None, current_schema: str | None
) -> list[tuple[str, str]]:
    """Columns of the table that a COPY fills. fakesnow looks for a temporary table in its schema, where DuckDB does not have it."""
    sql = "SELECT 1 FROM duckdb_tables() WHERE temporary AND table_name = ?"
    path: tuple[str | None, ...] = (table.catalog or current_database, table.db or current_schema, table.name)
    if duck_conn.execute(sql, [table.name]).fetchone():
        path = (table.name,)
    quoted = ".".join(f'"{name}"' for name in path)
    return [(row[0], row[1]) for row in duck_conn.execute(f"DESCRIBE {quoted}").fetchall()]


def timestamps(ts: "pa.Array | pa.ChunkedArray") -> "pa.Array":
    """Times as the connector expects them. fakesnow sends no time as the beginning of 1970."""
    values = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
    structs = _timestamps_of_fakesnow(pc.fill_null(values, 0))
    return pa.StructArray.from_arrays(structs.flatten(), fields=list(structs.type), mask=pc.is_null(values))


def apply() -> None:
    """Put them in place; a second time changes nothing."""
    copy_into._describe_table = describe_table
    arrow.timestamp_to_sf_struct = timestamps
