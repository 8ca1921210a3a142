"""What may be wrong with a mart, as questions to Snowflake and plain answers; whether an answer is bad enough is decided elsewhere.

The questions stand in `findings/`, with the names of tables and columns left open.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.marts.tables import MARTS, Mart

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_QUERIES = resources.files("polygon_assets.batch.marts") / "findings"
_EXAMPLES = 10
_OVERNIGHT = 1.25
"""Prices hardly ever move by more overnight; a wrong ratio that is nearer to the true one than this is not noticed."""


@dataclass(frozen=True)
class Finding:
    """How many values are wrong, and the first few of them, each with one text for each column."""

    count: int
    examples: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Missing:
    """Rows, and in how many of them each column that must be filled is not; none are left out."""

    rows: int = 0
    by_column: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitJump:
    """A ticker's price from the last close before a split to the first open after it, as fractions of that close."""

    ticker: str
    execution_date: dt.date
    price_factor: float
    """What the split (or all of that day) should do to earlier prices."""
    adjusted_jump: float
    unadjusted_jump: float

    @property
    def is_continuous(self) -> bool:
        """Whether the move over the split's day is the ratio that was applied, but for what prices do overnight.

        Judged by what is left after the adjustment, whatever the size of the entry: one that is too
        small or too large leaves the rest of the true split.
        """
        return abs(math.log1p(self.adjusted_jump)) < math.log(_OVERNIGHT)


def duplicates(connection: "SnowflakeConnection", mart: Mart) -> Finding:
    """Primary keys that more than one row has, in the whole mart."""
    return _finding(
        _ask(connection, "duplicates", table=mart.table, key=", ".join(mart.primary_key))
    )


def missing_values(
    connection: "SnowflakeConnection", mart: Mart
) -> Mapping[dt.date | None, Missing]:
    """By day, or under None of the whole mart where it is not filled by day; nothing of what has no rows."""
    columns = tuple(dict.fromkeys((*mart.primary_key, *mart.required)))
    counts = ", ".join(f"COUNT(*) - COUNT({column})" for column in columns)
    found = _ask(
        connection,
        "missing_values",
        table=mart.table,
        counts=counts,
        of="trading_day" if mart.by_day else "NULL",
    )
    return {
        day: Missing(int(rows), dict(zip(columns, map(int, missing), strict=True)))
        for day, rows, *missing in found
    }


def orphans(
    connection: "SnowflakeConnection", mart: Mart, column: str, day: dt.date | None = None
) -> Finding:
    """Values of `column`, one of `mart.references`, that the mart it refers to does not have."""
    other, other_column = mart.references[column]
    names = {
        "table": mart.table,
        "column": column,
        "other": MARTS[other].table,
        "other_column": other_column,
    }
    return _finding(_ask(connection, "orphans", day, rows=_rows(day), **names))


def odd_stamps(connection: "SnowflakeConnection", mart: Mart, day: dt.date) -> Finding:
    """Bars of a day whose stamp is of another one, with that stamp in the vendor's milliseconds."""
    return _finding(_ask(connection, "odd_stamps", day, table=mart.table))


def day_rows(connection: "SnowflakeConnection", mart: Mart) -> Mapping[dt.date, int]:
    """Rows by day, of a mart that is filled by day; oldest first, days without rows are left out."""
    return {day: int(count) for day, count in _ask(connection, "day_rows", table=mart.table)}


def split_jumps(connection: "SnowflakeConnection", since: dt.date) -> Sequence[SplitJump]:
    """Every split executed on `since` or later with prices on both sides, newest first."""
    with connection.cursor() as cursor:
        cursor.execute((_QUERIES / "split_jumps.sql").read_text(), {"since": since})
        return [SplitJump(*row) for row in cursor.fetchall() if row[3] is not None]


@dataclass(frozen=True)
class SplitEntry:
    """One of the entries of a ticker that contradict each other."""

    ticker: str
    execution_date: dt.date
    split_from: float | None
    split_to: float | None
    split_id: str


@dataclass(frozen=True)
class ReusedSymbol:
    """A symbol of a listed security that another one had until `delisted_day`."""

    ticker: str
    name: str | None
    former_name: str | None
    delisted_day: dt.date | None
    first_bar: dt.date | None

    @property
    def shares_bars(self) -> bool:
        """Whether bars of the other security stand under the symbol; unknown counts as yes."""
        if self.first_bar is None:
            return False
        return self.delisted_day is None or self.first_bar <= self.delisted_day


def undecided_splits(connection: "SnowflakeConnection") -> Sequence[SplitEntry]:
    """Every entry that waits for a person's decision and moves prices of the loaded days."""
    return [SplitEntry(*row) for row in _ask(connection, "undecided_splits")]


def reused_symbols(connection: "SnowflakeConnection") -> Sequence[ReusedSymbol]:
    """Every listed security whose symbol another one had."""
    return [ReusedSymbol(*row) for row in _ask(connection, "reused_symbols")]


def _rows(day: dt.date | None) -> str:
    return "trading_day = %(day)s" if day else "TRUE"


def _ask(
    connection: "SnowflakeConnection", question: str, day: dt.date | None = None, **names: str
) -> list[tuple[Any, ...]]:
    sql = Template((_QUERIES / f"{question}.sql").read_text()).substitute(
        examples=_EXAMPLES, **names
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, {"day": day})
        return [tuple(row) for row in cursor.fetchall()]


def _finding(rows: Sequence[tuple[Any, ...]]) -> Finding:
    return Finding(
        int(rows[0][0]) if rows else 0, [tuple(str(value) for value in row[1:]) for row in rows]
    )
