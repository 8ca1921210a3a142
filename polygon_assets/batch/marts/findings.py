"""Queries of possible defects in a mart, with plain results.

Add a query as an SQL template in `findings/` and its function here; deciding whether a result fails
a check belongs to `defs.batch.mart_checks`.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from polygon_assets.batch.marts.columns import MARTS, Mart

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_QUERIES = resources.files("polygon_assets.batch.marts") / "findings"
_EXAMPLES = 10
_LARGEST_OVERNIGHT_FACTOR = 1.25
"""Prices hardly ever move more overnight; a ratio that is wrong by less goes undetected."""


@dataclass(frozen=True)
class Finding:
    """The number of wrong values, and the first few: one text per column."""

    count: int
    examples: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Missing:
    """The number of rows, and of rows without a value for each required column, zeros included."""

    rows: int = 0
    by_column: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitJump:
    """Price changes from the last close before a split to the first open after, as fractions."""

    ticker: str
    execution_date: dt.date
    price_factor: float
    """The product of the ratios of that day's splits."""
    adjusted_jump: float
    unadjusted_jump: float

    @property
    def is_continuous(self) -> bool:
        """Whether the adjusted prices move over the split's day by no more than overnight.

        The adjusted jump decides, whatever the ratio: a ratio that is too small or too large leaves
        the rest of the true split in it.
        """
        return abs(math.log1p(self.adjusted_jump)) < math.log(_LARGEST_OVERNIGHT_FACTOR)


@dataclass(frozen=True)
class SplitEntry:
    """One of the undecided split entries of a ticker."""

    ticker: str
    execution_date: dt.date | None
    split_from: float | None
    split_to: float | None
    split_id: str


@dataclass(frozen=True)
class ReusedSymbol:
    """A symbol of a listed security that another security had until `delisted_day`."""

    ticker: str
    name: str | None
    former_name: str | None
    delisted_day: dt.date | None
    first_bar: dt.date | None

    @property
    def shares_bars(self) -> bool:
        """Whether the symbol's bars include the former security's; an unknown end counts as yes."""
        if self.first_bar is None:
            return False
        return self.delisted_day is None or self.first_bar <= self.delisted_day


def duplicates(connection: "SnowflakeConnection", mart: Mart) -> Finding:
    """Primary keys of more than one row, in the whole mart."""
    key = ", ".join(mart.primary_key)
    return _finding(_query(connection, "duplicates", table=mart.table, key=key))


def missing_values(
    connection: "SnowflakeConnection", mart: Mart
) -> Mapping[dt.date | None, Missing]:
    """By day, or under None for a mart not filled by day; days without rows are left out."""
    columns = tuple(dict.fromkeys((*mart.primary_key, *mart.required)))
    counts = ", ".join(f"COUNT(*) - COUNT({column})" for column in columns)
    rows_by_day = _query(
        connection,
        "missing_values",
        table=mart.table,
        counts=counts,
        day_column="trading_day" if mart.by_day else "NULL",
    )
    return {
        day: Missing(int(rows), dict(zip(columns, map(int, missing), strict=True)))
        for day, rows, *missing in rows_by_day
    }


def orphans(
    connection: "SnowflakeConnection", mart: Mart, column: str, day: dt.date | None = None
) -> Finding:
    """Values of `column`, one of `mart.references`, that the referenced mart does not contain."""
    other, other_column = mart.references[column]
    names = {
        "table": mart.table,
        "column": column,
        "other": MARTS[other].table,
        "other_column": other_column,
    }
    rows = "trading_day = %(day)s" if day else "TRUE"
    return _finding(_query(connection, "orphans", day, rows=rows, **names))


def odd_stamps(connection: "SnowflakeConnection", mart: Mart, day: dt.date) -> Finding:
    """Bars of a day whose time stamp is of another day, with that stamp in milliseconds.

    A stamp that the vendor did not send as a number is None.
    """
    return _finding(_query(connection, "odd_stamps", day, table=mart.table))


def day_rows(connection: "SnowflakeConnection", mart: Mart) -> Mapping[dt.date, int]:
    """Rows by day in a mart that is filled by day, oldest first; days without rows are left out."""
    return {day: int(count) for day, count in _query(connection, "day_rows", table=mart.table)}


def split_jumps(connection: "SnowflakeConnection", since: dt.date) -> Sequence[SplitJump]:
    """Every split executed on `since` or later with prices before and after it, newest first."""
    with connection.cursor() as cursor:
        cursor.execute((_QUERIES / "split_jumps.sql").read_text(), {"since": since})
        jumps = [SplitJump(*row) for row in cursor.fetchall()]
    # A price of 0 or a missing price makes the adjusted jump null.
    return [jump for jump in jumps if jump.adjusted_jump is not None]


def undecided_splits(connection: "SnowflakeConnection") -> Sequence[SplitEntry]:
    """Every entry that needs a person's decision and changes prices of the loaded days."""
    return [SplitEntry(*row) for row in _query(connection, "undecided_splits")]


def reused_symbols(connection: "SnowflakeConnection") -> Sequence[ReusedSymbol]:
    """Every listed security whose symbol another security had before."""
    return [ReusedSymbol(*row) for row in _query(connection, "reused_symbols")]


def _query(
    connection: "SnowflakeConnection", name: str, day: dt.date | None = None, **names: str
) -> list[tuple[Any, ...]]:
    """The rows of the query in the SQL file `name`; `names` fill in its tables and columns."""
    template = Template((_QUERIES / f"{name}.sql").read_text())
    sql = template.substitute(examples=_EXAMPLES, **names)
    with connection.cursor() as cursor:
        cursor.execute(sql, {"day": day})
        return [tuple(row) for row in cursor.fetchall()]


def _finding(rows: Sequence[tuple[Any, ...]]) -> Finding:
    """The finding of a query whose first column is the total count."""
    examples = [tuple(str(value) for value in row[1:]) for row in rows]
    return Finding(int(rows[0][0]) if rows else 0, examples)
