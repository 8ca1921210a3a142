"""The form of an asset's description (what, grain, lateness, what to do) and of its metadata.

Add a form here; the words themselves belong to the asset. A graph test refuses an asset without a
description.
"""

import html
from collections.abc import Iterable, Sequence

import dagster as dg

OWNERS = ["team:market-data"]

Column = tuple[str, str, str]
"""Name, type, and meaning with its unit."""
SHOWN_LINES = 200
"""More would make the page unreadable."""


def described(what: str, *, grain: str, lateness: str, wrong: str) -> str:
    """The four paragraphs, in Markdown."""
    return (
        f"{what}\n\n**Grain:** {grain}\n\n**Lateness:** {lateness}\n\n**When it is wrong:** {wrong}"
    )


def table_schema(columns: Iterable[Column]) -> dg.TableSchema:
    return dg.TableSchema(
        [dg.TableColumn(name, kind, description=meaning) for name, kind, meaning in columns]
    )


def as_diff(added: Sequence[str], removed: Sequence[str]) -> str:
    """A Markdown block of what was added and removed."""
    lines = [f"+ {item}" for item in added] + [f"- {item}" for item in removed]
    more = [f"  and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return "\n".join(["```diff", *(lines[:SHOWN_LINES] or ["  no change"]), *more, "```"])


def as_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar, a tag or a line break in a cell is text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    return html.escape(" ".join(str(value).splitlines()), quote=False).replace("|", "\\|")
