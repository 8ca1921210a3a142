"""Keeps the last good rows of tables that are read whole, and restores an emptied or shrunk table.

Airbyte replaces such a table itself, in its cloud as here, so each table is judged right after the
sync. RAW.X_LAST_GOOD holds the rows accepted last, and marts read them: never rows that were not
judged. RAW.X_REJECTED holds the rows refused last. Add a rule of acceptance here; the consequences
in the graph belong to `defs`.
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
"""Fraction of a table's keys. The vendor withdraws single entries, never a tenth of a list."""
_SQL = resources.files("polygon_assets.batch.raw") / "last_good"
_COLUMNS_SQL = (resources.files("polygon_assets.batch.raw") / "existing_columns.sql").read_text()


@dataclass(frozen=True)
class Judged:
    """The verdict on a table after a sync; rows are distinct keys.

    `rows_before` is None as long as no table was accepted, so for the first sync.
    """

    rows: int
    rows_before: int | None
    accepted: bool
    accepted_by_person: bool = False

    @property
    def rows_in_place(self) -> int:
        """Rows of the table after the verdict."""
        return self.rows if self.accepted or self.rows_before is None else self.rows_before


def is_much_smaller(rows: int, rows_before: int | None) -> bool:
    """Whether a table lost more than a tenth of its keys, or is empty and was not before."""
    if rows == 0:
        return rows_before != 0
    return rows_before is not None and rows < (1 - LARGEST_LOSS) * rows_before


def copy_missing(connection: "SnowflakeConnection", whole: Iterable[Stream]) -> None:
    """Before a sync: copy each table that has no last good copy, such as an older release's.

    An empty table is not copied: nobody accepted it.
    """
    with connection.cursor() as cursor:
        for stream in whole:
            if (
                _columns(cursor, stream.name)
                and not _columns(cursor, f"{stream.name}_last_good")
                and _count_keys(cursor, stream, stream.name)
            ):
                _run(cursor, "copy", source=stream.name, target=f"{stream.name}_last_good")


def keep_or_restore(
    connection: "SnowflakeConnection", whole: Iterable[Stream], accepted: Collection[str] = ()
) -> dict[str, Judged]:
    """Judge each table of RAW that was just read whole; keep it, or restore its last good rows.

    `accepted` names tables that a person accepts as they are. The call may be repeated after a
    failure. Raises snowflake.connector.errors.Error.
    """
    with connection.cursor() as cursor:
        return {
            stream.name: _keep_or_restore_table(cursor, stream, stream.name in accepted)
            for stream in whole
        }


def _keep_or_restore_table(
    cursor: "SnowflakeCursor", stream: Stream, accepted_by_person: bool
) -> Judged:
    table, good, rejected = (f"{stream.name}{suffix}" for suffix in ("", "_last_good", "_rejected"))
    rows = _count_keys(cursor, stream, table)
    rows_before = _count_keys(cursor, stream, good) if _columns(cursor, good) else None
    smaller = is_much_smaller(rows, rows_before)
    if smaller and not accepted_by_person:
        _run(cursor, "copy", source=table, target=rejected)
        if rows_before is not None:
            columns = ", ".join(map(quoted, _columns(cursor, good)))
            _run(cursor, "restore", source=good, target=table, columns=columns)
        return Judged(rows, rows_before, accepted=False)
    _run(cursor, "copy", source=table, target=good)
    return Judged(rows, rows_before, accepted=True, accepted_by_person=smaller)


def _count_keys(cursor: "SnowflakeCursor", stream: Stream, table: str) -> int:
    key = ", ".join(quoted(field) for field in stream.primary_key)
    cursor.execute(
        Template((_SQL / "count_keys.sql").read_text()).substitute(table=_name(table), key=key)
    )
    return int(cursor.fetchall()[0][0])


def _columns(cursor: "SnowflakeCursor", table: str) -> list[str]:
    """The table's columns; empty if there is no such table."""
    cursor.execute(_COLUMNS_SQL, {"schema": "RAW", "table": table.upper()})
    return [name for (name,) in cursor.fetchall()]


def _run(
    cursor: "SnowflakeCursor", query: str, source: str, target: str, columns: str = ""
) -> None:
    text = Template((_SQL / f"{query}.sql").read_text())
    cursor.execute(text.substitute(source=_name(source), target=_name(target), columns=columns))


def _name(table: str) -> str:
    """The table's name for SQL."""
    return f"RAW.{quoted(table)}"
