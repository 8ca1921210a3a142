"""What each mart and each of its columns is made of, read from the very SQL that fills it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.marts.tables import MARTS, SCHEMA, Mart
from polygon_assets.batch.raw import table_writer

if TYPE_CHECKING:
    from sqlglot.lineage import Node

_DIALECT = "snowflake"


def upstreams(mart: Mart) -> Sequence[tuple[str, str]]:
    """Schema and table of each that is read, in alphabetical order; none if the rows are not made by SQL."""
    from sqlglot import exp, parse_one  # 0.3 s CPU: paid by those who ask

    if mart.sql is None:
        return []
    tables = parse_one(_query(mart.sql), dialect=_DIALECT).find_all(exp.Table)
    # Without a schema it is a part of the query itself.
    return sorted({(table.db.upper(), table.name.upper()) for table in tables if table.db})


def column_lineage(mart: Mart) -> Mapping[str, Sequence[tuple[str, str]]]:
    """By column: SCHEMA.TABLE and column of each that goes into it; empty if the rows are not made by SQL."""
    from sqlglot.lineage import lineage

    if mart.sql is None:
        return {}
    nodes = lineage(None, _query(mart.sql), _schema(), dialect=_DIALECT)
    return {name: _sources(nodes[name]) for name, _, _ in mart.columns}


def _query(sql: str) -> str:
    """With a value in place of each parameter, which is the connector's and no SQL."""
    return sql.replace("%(day)s", "NULL").replace("%(decisions)s", "'[]'")


def _sources(node: "Node") -> list[tuple[str, str]]:
    from sqlglot import exp

    ends = [end for end in node.walk() if not end.downstream]
    tables = [(end.expression, end.name.rpartition(".")[2]) for end in ends]
    return sorted(
        {
            (f"{table.db}.{table.name}", column)
            for table, column in tables
            if isinstance(table, exp.Table)
        }
    )


@cache
def _schema() -> dict[str, dict[str, dict[str, str]]]:
    """Every table and column that a query may name, with types."""
    raw = {
        name.upper(): {
            column: kind.split()[0] for column, kind in table_writer.columns(stream).items()
        }
        for name, stream in streams().items()
    }
    return {
        "RAW": raw,
        SCHEMA: {
            mart.name.upper(): {name: kind.name for name, kind in mart.types.items()}
            for mart in MARTS.values()
        },
    }
