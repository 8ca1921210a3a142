"""Keeps the last good rows of tables that are read whole: one that comes back empty or much smaller is put back.

Airbyte replaces such a table by itself, in its cloud as here, so it is judged right after the sync and
before anything is made of it. RAW.X_LAST_GOOD holds what was accepted last, RAW.X_REJECTED what was
refused last. What a refusal means for the graph is `defs`' business.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.batch.raw.staging import quoted

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

LARGEST_LOSS = 0.1
"""The vendor withdraws an entry now and then, and never a tenth of a list."""
_SQL = resources.files("polygon_assets.batch.raw") / "last_good"
_COLUMNS_SQL = (resources.files("polygon_assets.batch.raw") / "table_columns.sql").read_text()


@dataclass(frozen=True)
class Judged:
    """What became of a table after a sync; keys counted once. `rows_before` is None the first time."""

    rows: int
    rows_before: int | None
    accepted: bool
    accepted_by_person: bool = False

    @property
    def rows_in_place(self) -> int:
        return self.rows if self.accepted or self.rows_before is None else self.rows_before


def is_smaller(rows: int, rows_before: int | None) -> bool:
    """Whether a table lost more than a tenth of its keys, or all of them."""
    return (
        rows_before is not None
        and rows < rows_before
        and (rows == 0 or rows < (1 - LARGEST_LOSS) * rows_before)
    )


def remember(connection: "SnowflakeConnection", whole: Iterable[Stream]) -> None:
    """Before a sync: copy tables of which there is no last good one yet, such as those from before tables were judged."""
    with connection.cursor() as cursor:
        for stream in whole:
            if _columns(cursor, stream.name) and not _columns(cursor, f"{stream.name}_last_good"):
                _run(cursor, "copy", source=stream.name, target=f"{stream.name}_last_good")


def settle(
    connection: "SnowflakeConnection", whole: Iterable[Stream], accepted: Collection[str] = ()
) -> dict[str, Judged]:
    """Judge each table of RAW that was just read whole; keep it, or put the last good one back.

    `accepted` names tables that a person accepts as they are. Raises snowflake.connector.errors.Error;
    repeating it after a failure is harmless.
    """
    with connection.cursor() as cursor:
        return {stream.name: _settle(cursor, stream, stream.name in accepted) for stream in whole}


def _settle(cursor: "SnowflakeCursor", stream: Stream, by_person: bool) -> Judged:
    table, good, rejected = (f"{stream.name}{suffix}" for suffix in ("", "_last_good", "_rejected"))
    rows, before = (
        _keys(cursor, stream, table),
        _keys(cursor, stream, good) if _columns(cursor, good) else None,
    )
    smaller = is_smaller(rows, before)
    if smaller and not by_person:
        _run(cursor, "copy", source=table, target=rejected)
        _run(
            cursor,
            "put_back",
            source=good,
            target=table,
            columns=", ".join(map(quoted, _columns(cursor, good))),
        )
        return Judged(rows, before, accepted=False)
    _run(cursor, "copy", source=table, target=good)
    return Judged(rows, before, accepted=True, accepted_by_person=smaller)


def _keys(cursor: "SnowflakeCursor", stream: Stream, table: str) -> int:
    key = ", ".join(quoted(field) for field in stream.primary_key)
    cursor.execute(
        Template((_SQL / "count_keys.sql").read_text()).substitute(table=_name(table), key=key)
    )
    return int(cursor.fetchall()[0][0])


def _columns(cursor: "SnowflakeCursor", table: str) -> list[str]:
    """None of a table that is not there."""
    cursor.execute(_COLUMNS_SQL, {"schema": "RAW", "table": table.upper()})
    return [name for (name,) in cursor.fetchall()]


def _run(
    cursor: "SnowflakeCursor", query: str, source: str, target: str, columns: str = ""
) -> None:
    text = Template((_SQL / f"{query}.sql").read_text())
    cursor.execute(text.substitute(source=_name(source), target=_name(target), columns=columns))


def _name(table: str) -> str:
    return f"RAW.{quoted(table)}"
