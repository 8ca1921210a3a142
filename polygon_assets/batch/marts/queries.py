"""Questions about the marts, answered as Arrow tables.

Add a question as a file in `queries/`; building the marts belongs to `build`.
"""

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

_DIRECTORY = resources.files("polygon_assets.batch.marts") / "queries"


def answer(connection: "SnowflakeConnection", name: str, **parameters: object) -> "pa.Table":
    """The answer of `queries/<name>.sql`, its columns in lower case; without rows it has them too.

    Raises snowflake.connector.errors.ProgrammingError when a mart does not exist yet.
    """
    text = (_DIRECTORY / f"{name}.sql").read_text()
    with connection.cursor() as cursor:
        cursor.execute(text, parameters or None)
        rows = cursor.fetch_arrow_all(force_return_table=True)
    return rows.rename_columns([column.lower() for column in rows.column_names])
