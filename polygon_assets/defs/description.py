"""How an asset is described: what it is, its grain, how late it may be, and what to do when it is wrong.

A graph test refuses an asset without these; the words themselves stand where the asset is defined.
"""

from collections.abc import Iterable

import dagster as dg

OWNERS = ["team:market-data"]

Column = tuple[str, str, str]
"""Name, type, and meaning with its unit."""


def described(what: str, *, grain: str, lateness: str, wrong: str) -> str:
    """The four paragraphs, in Markdown."""
    return f"{what}\n\n**Grain:** {grain}\n\n**Lateness:** {lateness}\n\n**When it is wrong:** {wrong}"


def table_schema(columns: Iterable[Column]) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, kind, description=meaning) for name, kind, meaning in columns])
