"""Derives the sources of each mart and each of its columns from the SQL that fills it.

Add what can be parsed from that SQL here; the marts' declared columns belong to `columns`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.marts.columns import MARTS, SCHEMA, Mart
from polygon_assets.batch.raw import table_writer

if TYPE_CHECKING:
    from sqlglot.lineage import Node

_DIALECT = "snowflake"


def upstreams(mart: Mart) -> Sequence[tuple[str, str]]:
    """Schema and name of each table that the mart reads, sorted; empty for a mart without SQL."""
    from sqlglot import exp, parse_one  # 0.3 s CPU, so only where lineage is needed

    if mart.sql is None:
        return []
    tables = parse_one(_query(mart.sql), dialect=_DIALECT).find_all(exp.Table)
    # A table without a schema is a common table expression of the query itself.
    return sorted({(table.db.upper(), table.name.upper()) for table in tables if table.db})


def column_lineage(mart: Mart) -> Mapping[str, Sequence[tuple[str, str]]]:
    """By column: SCHEMA.TABLE and column of each source; empty for a mart without SQL."""
    from sqlglot.lineage import lineage

    if mart.sql is None:
        return {}
    nodes = lineage(None, _query(mart.sql), _schema(), dialect=_DIALECT)
    return {name: _sources(nodes[name]) for name, _, _ in mart.columns}


def _query(sql: str) -> str:
    """The SQL with a value for each parameter, because sqlglot cannot parse the placeholders.

    A table of last good rows stands for the raw table that they were accepted from.
    """
    parsable = sql.replace("%(day)s", "NULL").replace("%(decisions)s", "'[]'")
    return parsable.replace("_LAST_GOOD", "")


def _sources(node: "Node") -> list[tuple[str, str]]:
    from sqlglot import exp

    leaves = [leaf for leaf in node.walk() if not leaf.downstream]
    tables = [(leaf.expression, leaf.name.rpartition(".")[2]) for leaf in leaves]
    return sorted(
        {
            (f"{table.db}.{table.name}", column)
            for table, column in tables
            if isinstance(table, exp.Table)
        }
    )


@cache
def _schema() -> dict[str, dict[str, dict[str, str]]]:
    """Every table and column that a query may read, with types."""
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
