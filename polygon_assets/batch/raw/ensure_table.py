"""Makes tables of Snowflake what they are declared to be: schema, table and columns, as far as they are missing.

Nothing is ever dropped or retyped here: that is decided by people.
"""

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

from polygon_assets.batch.raw.staging import quoted

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

_COLUMNS_SQL = resources.files("polygon_assets.batch.raw") / "table_columns.sql"


def ensure(cursor: "SnowflakeCursor", schema: str, table: str, columns: Mapping[str, str]) -> None:
    """`columns`: name to definition. A column that is added later is empty in the rows that are there, so it is not NOT NULL."""
    cursor.execute(_COLUMNS_SQL.read_text(), {"schema": schema.upper(), "table": table.upper()})
    existing = {name for (name,) in cursor.fetchall()}
    path = f"{quoted(schema)}.{quoted(table)}"
    if not existing:
        definitions = ", ".join(
            f"{quoted(name)} {definition}" for name, definition in columns.items()
        )
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {path} ({definitions})")
        return
    for name, definition in columns.items():
        if name.upper() not in existing:
            cursor.execute(
                f"ALTER TABLE {path} ADD COLUMN IF NOT EXISTS {quoted(name)} {definition.replace(' NOT NULL', '')}"
            )
