"""Questions about one ticker of the marts, answered as Arrow tables.

Add a question as a file in `queries/`; building the marts belongs to `build`.
"""

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

_DIRECTORY = resources.files("polygon_assets.batch.marts") / "queries"


def of_ticker(connection: "SnowflakeConnection", name: str, ticker: str) -> "pa.Table":
    """The answer of `queries/<name>.sql`, its columns in lower case; without rows it has them too.

    Raises snowflake.connector.errors.ProgrammingError when a mart does not exist yet.
    """
    text = (_DIRECTORY / f"{name}.sql").read_text()
    with connection.cursor() as cursor:
        cursor.execute(text, {"ticker": ticker})
        answer = cursor.fetch_arrow_all(force_return_table=True)
    return answer.rename_columns([column.lower() for column in answer.column_names])
