"""Creates what a declared Snowflake table lacks: schema, table or columns.

Add what can be created without losing data here. Dropping or retyping a column belongs to people.
"""

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

from polygon_assets.batch.raw.staging import quoted

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

_COLUMNS_SQL = resources.files("polygon_assets.batch.raw") / "existing_columns.sql"


def ensure(cursor: "SnowflakeCursor", schema: str, table: str, columns: Mapping[str, str]) -> None:
    """Create what is missing; `columns` maps a name to its definition.

    A column added to an existing table loses its NOT NULL, because the existing rows have no value.
    """
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
            nullable = definition.replace(" NOT NULL", "")
            cursor.execute(f"ALTER TABLE {path} ADD COLUMN IF NOT EXISTS {quoted(name)} {nullable}")
