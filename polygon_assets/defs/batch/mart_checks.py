"""The checks of each mart, and how severe each finding is.

Add a check of a mart here; the queries belong to `batch.marts.findings`. A blocking check keeps a
bad table from spreading: tables that follow wait until it is built again and passes.
"""

import datetime as dt
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from polygon_assets.batch.marts import Mart, findings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

MAY_BE_EMPTY = ("dim_stock_split",)
TOLERABLE_SHARE = 0.01
"""Up to this share of a table's rows a missing value is a warning and an unknown one passes: the
vendor's data is never quite complete."""
LARGEST_DROP = 0.2
"""From one session to the next some hundred of 11,000 tickers come and go; an early close changes
volumes, not tickers."""
JUDGED_DAYS = 10
"""Every build judges the rows of this many newest days: a bad day stays an error until it is
repaired, whatever is built after it."""
NEAR = dt.timedelta(days=14)
"""A day is compared with the days within this time: over years the number of tickers changes."""
TOLERABLE_JUMPS = 2
TOLERABLE_JUMPS_SHARE = 0.05
"""A price that really halves looks like a split that is not applied; more jumps than both numbers
are an error."""
SPLITS_SINCE = dt.timedelta(days=400)
"""Splits of the last year or so are checked; an older one does not break by itself."""
JUDGED = f"each of the newest {JUDGED_DAYS} days and each that was built"
DAYS_ALIKE = f"There are hardly fewer tickers on {JUDGED} than on the days around it."
SPLITS_DECIDED = (
    "No entries of a split contradict each other. A contradiction is never guessed: the ticker's "
    "adjusted prices keep their last good values until a person decides, by a line in "
    "polygon_assets/batch/marts/split_decisions.csv or in SPLIT_DECISIONS."
)
STAMPS = "The vendor's stamp of a bar is of its trading day. Others become null; the bar stays."
REUSED = (
    "No daily bars of one security stand under the symbol of another: symbols are reused after a "
    "delisting."
)
SHOWN = 10
NO_SUCH_TABLE = 2003
"""Snowflake's error number."""


@dataclass(frozen=True)
class Built:
    """A mart, or one day of it, that has just been built."""

    connection: "SnowflakeConnection"
    mart: Mart
    day: dt.date | None
    rows: int


@dataclass(frozen=True)
class Judgement:
    """What a check found, and how severe it is."""

    passed: bool
    message: str
    is_error: bool = False
    """An error rather than a warning, if it has not passed."""
    numbers: Mapping[str, float] = field(default_factory=dict)


Judged = Mapping[dt.date | None, Judgement]
"""By day, the newest last; None stands for the whole table."""


@dataclass(frozen=True)
class Check:
    """One check of one mart."""

    name: str
    description: str
    blocking: bool
    judge: Callable[[Sequence[Built]], Judged]
    """Given all the days that were built together."""

    def spec(self, key: dg.AssetKey) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(
            self.name, asset=key, description=self.description, blocking=self.blocking
        )

    def result(self, key: dg.AssetKey, built: Sequence[Built]) -> dg.AssetCheckResult:
        """One result for all days: it names those that failed, or the newest if none did.

        Automation waits for a blocking check that has not passed, even on a warning. So a blocking
        check passes on a warning and names it.
        """
        judged = list(self.judge(built).items())
        failed = [(day, judgement) for day, judgement in judged if not judgement.passed]
        is_error = any(judgement.is_error for _, judgement in failed)
        passed = not is_error if self.blocking else not failed
        lines = ["passed, because few rows are affected:"] if passed and failed else []
        lines += [
            f"{day}: {judgement.message}" if day else judgement.message
            for day, judgement in failed or judged[-1:]
        ]
        return dg.AssetCheckResult(
            passed=passed,
            asset_key=key,
            check_name=self.name,
            severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
            description="\n\n".join(lines),
            metadata=dict(judged[-1][1].numbers),
        )


def checks_of(mart: Mart) -> list[Check]:
    """Every check of a mart."""
    return [*_checks_of_any(mart), *_ONLY_FOR.get(mart.name, ()), *_checks_of_values(mart)]


def _checks_of_any(mart: Mart) -> Iterator[Check]:
    if mart.by_day:
        yield Check("rows_like_the_days_around", DAYS_ALIKE, True, _rows_like_days_around)
    elif mart.name not in MAY_BE_EMPTY:
        yield Check("has_rows", "The table is not empty.", True, _of_each(_has_rows))
    unique = f"No two rows have the same {', '.join(mart.primary_key)}."
    yield Check("keys_are_unique", unique, True, _keys_are_unique)
    for column, (other, _) in mart.references.items():
        description = (
            f"Every {column} is in `{other}`; a warning above {TOLERABLE_SHARE:.0%} that are not."
        )
        yield Check(
            f"{column.lower()}_is_known", description, False, _of_each(partial(_is_known, column))
        )


def _checks_of_values(mart: Mart) -> Iterator[Check]:
    required = ", ".join((*mart.required, "the key"))
    have_values = f"{required} have a value{f' on {JUDGED}' if mart.by_day else ''}."
    few_pass = f"{have_values} A few missing values pass."
    yield Check("nothing_is_missing", few_pass, True, _nothing_is_missing)
    if mart.required:
        few_warn = f"{have_values} A few missing values are a warning."
        yield Check("every_value_is_there", few_warn, False, _nothing_is_missing)


def judge_rows(rows: Mapping[dt.date, int], built: Collection[dt.date]) -> Judged:
    """Judge the newest days and those just built, each against the days around it."""
    return {day: _judge_day(rows, day) for day in _judged_days(rows, built)}


def _judged_days(stored: Collection[dt.date], built: Collection[dt.date]) -> list[dt.date]:
    return sorted({*sorted(stored)[-JUDGED_DAYS:], *built})


def _judge_day(rows: Mapping[dt.date, int], day: dt.date) -> Judgement:
    row_count, near = (
        rows.get(day, 0),
        [count for other, count in rows.items() if other != day and abs(other - day) <= NEAR],
    )
    if not near:
        return Judgement(
            row_count > 0,
            f"{row_count:,} rows; there is no day around it",
            is_error=True,
            numbers={"rows": row_count},
        )
    usual = statistics.median(near)
    message = f"{row_count:,} rows, on the days around it {usual:,.0f}"
    return Judgement(
        row_count >= (1 - LARGEST_DROP) * usual,
        message,
        is_error=True,
        numbers={"rows": row_count, "rows_around": usual},
    )


def judge_duplicates(finding: findings.Finding) -> Judgement:
    examples = ", ".join("/".join(key) for key in finding.examples[:SHOWN])
    message = (
        f"{finding.count:,} keys stand in more than one row: {examples}"
        if finding.count
        else "every key is unique"
    )
    return Judgement(
        not finding.count, message, is_error=True, numbers={"duplicate_keys": finding.count}
    )


def judge_missing(missing: findings.Missing) -> Judgement:
    gaps = {column: count for column, count in missing.by_column.items() if count}
    counts = ", ".join(f"{column} in {count:,}" for column, count in gaps.items())
    worst = max(gaps.values(), default=0)
    return Judgement(
        not gaps,
        f"of {missing.rows:,} rows without a value: {counts}" if gaps else "nothing is missing",
        is_error=worst > TOLERABLE_SHARE * missing.rows,
        numbers={"worst_column_rows": worst},
    )


def judge_orphans(column: str, finding: findings.Finding, rows: int) -> Judgement:
    examples = ", ".join(value for (value,) in finding.examples[:SHOWN])
    message = (
        f"{finding.count:,} values of {column} are not known, such as {examples}"
        if finding.count
        else f"every {column} is known"
    )
    return Judgement(
        finding.count <= TOLERABLE_SHARE * rows, message, numbers={"unknown": finding.count}
    )


def judge_jumps(jumps: Sequence[findings.SplitJump]) -> Judgement:
    """A few jumps are a warning; an adjustment that is wrong breaks many."""
    broken = [jump for jump in jumps if not jump.is_continuous]
    examples = ", ".join(
        f"{jump.ticker} on {jump.execution_date} by {jump.adjusted_jump:+.0%} "
        f"({jump.unadjusted_jump:+.0%} unadjusted)"
        for jump in broken[:SHOWN]
    )
    message = (
        f"{len(broken)} of {len(jumps)} splits leave a jump: {examples}"
        if broken
        else f"{len(jumps)} splits, none leaves a jump"
    )
    is_error = len(broken) > max(TOLERABLE_JUMPS, TOLERABLE_JUMPS_SHARE * len(jumps))
    return Judgement(
        not broken,
        message,
        is_error=is_error,
        numbers={"splits": len(jumps), "broken": len(broken)},
    )


def judge_decided(entries: Sequence[findings.SplitEntry]) -> Judgement:
    """Names ticker, day and undecided entries of each split, with the line that decides it."""
    by_event: dict[tuple[str, dt.date | None], list[str]] = {}
    for entry in entries:
        ratio = f"{_number(entry.split_from)} to {_number(entry.split_to)} ({entry.split_id})"
        by_event.setdefault((entry.ticker, entry.execution_date), []).append(ratio)
    tickers = {entry.ticker for entry in entries}
    lines = [
        f"{ticker} on {day or 'no day'}: {', '.join(ratios)}"
        for (ticker, day), ratios in list(by_event.items())[:SHOWN]
    ]
    message = (
        f"{len(tickers)} tickers keep their last good adjusted prices, because entries of their "
        "splits contradict each other or have no day. Decide each with a line "
        "TICKER,DAY,OLD SHARES,NEW SHARES in split_decisions.csv or SPLIT_DECISIONS (1,1 for no "
        "split; an entry without a day by its own ratio and the day):\n\n" + "\n\n".join(lines)
    )
    return Judgement(
        not entries,
        message if entries else "no entries contradict each other, and each has a day",
        is_error=True,
        numbers={"undecided": len(tickers)},
    )


def judge_stamps(finding: findings.Finding) -> Judgement:
    examples = ", ".join(f"{ticker} ({stamp})" for ticker, stamp in finding.examples[:SHOWN])
    message = (
        f"{finding.count:,} stamps are not of the trading day: {examples}"
        if finding.count
        else "every stamp is of its day"
    )
    return Judgement(not finding.count, message, numbers={"odd_stamps": finding.count})


def judge_reused(symbols: Sequence[findings.ReusedSymbol]) -> Judgement:
    """A reused symbol is a danger only where bars of the other security are loaded."""
    mixed = [symbol for symbol in symbols if symbol.shares_bars]
    lines = [
        f"{symbol.ticker} is {symbol.name}; until {symbol.delisted_day or 'an unknown day'} "
        f"it was {symbol.former_name}"
        for symbol in (mixed or symbols)[:SHOWN]
    ]
    head = (
        f"{len(symbols)} symbols of listed securities belonged to another security before, "
        f"{len(mixed)} with bars of that one"
    )
    return Judgement(
        not mixed,
        "\n\n".join([head, *lines]),
        numbers={"reused": len(symbols), "with_bars_of_both": len(mixed)},
    )


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g}"


def _of_each(judge: Callable[[Built], Judgement]) -> Callable[[Sequence[Built]], Judged]:
    return lambda built: {mart.day: judge(mart) for mart in built}


def _has_rows(built: Built) -> Judgement:
    return Judgement(
        built.rows > 0, f"{built.rows:,} rows", is_error=True, numbers={"rows": built.rows}
    )


def _rows_like_days_around(built: Sequence[Built]) -> Judged:
    return judge_rows(
        findings.day_rows(built[0].connection, built[0].mart),
        [mart.day for mart in built if mart.day],
    )


def _keys_are_unique(built: Sequence[Built]) -> Judged:
    return {None: judge_duplicates(findings.duplicates(built[0].connection, built[0].mart))}


def _nothing_is_missing(built: Sequence[Built]) -> Judged:
    missing_by_day = findings.missing_values(built[0].connection, built[0].mart)
    days = (
        _judged_days(
            [day for day in missing_by_day if day], [mart.day for mart in built if mart.day]
        )
        if built[0].mart.by_day
        else [None]
    )
    return {day: judge_missing(missing_by_day.get(day, findings.Missing())) for day in days}


def _is_known(column: str, built: Built) -> Judgement:
    from snowflake.connector.errors import ProgrammingError

    other, _ = built.mart.references[column]
    try:
        return judge_orphans(
            column, findings.orphans(built.connection, built.mart, column, built.day), built.rows
        )
    except ProgrammingError as error:
        if error.errno != NO_SUCH_TABLE:
            raise
        # During the first load a table may be built before the one it refers to.
        return Judgement(True, f"`{other}` is not built yet: nothing was compared")


def _splits_decided(built: Built) -> Judgement:
    return judge_decided(findings.undecided_splits(built.connection))


def _odd_stamps(built: Built) -> Judgement:
    if built.day is None:
        raise ValueError("the daily facts are judged by day")
    return judge_stamps(findings.odd_stamps(built.connection, built.mart, built.day))


def _reused(built: Built) -> Judgement:
    return judge_reused(_empty_before_first_load(lambda: findings.reused_symbols(built.connection)))


def _empty_before_first_load(
    ask: Callable[[], Sequence[findings.ReusedSymbol]],
) -> Sequence[findings.ReusedSymbol]:
    """The answer of `ask`; nothing while a table that its query reads does not exist."""
    from snowflake.connector.errors import ProgrammingError

    try:
        return ask()
    except ProgrammingError as error:
        if error.errno != NO_SUCH_TABLE:
            raise
        return []


def _continuous(built: Built) -> Judgement:
    since = dt.datetime.now(dt.UTC).date() - SPLITS_SINCE
    return judge_jumps(findings.split_jumps(built.connection, since))


_ONLY_FOR: Mapping[str, tuple[Check, ...]] = {
    "daily_prices_adjusted": (
        Check(
            "continuous_across_splits",
            "Hardly any adjusted price jumps at a split.",
            True,
            _of_each(_continuous),
        ),
        Check(
            "no_jump_at_a_split",
            "Over a split's day prices move by the ratio that was applied.",
            False,
            _of_each(_continuous),
        ),
        Check("splits_are_decided", SPLITS_DECIDED, True, _of_each(_splits_decided)),
    ),
    "fact_daily_trading": (Check("stamps_are_of_the_day", STAMPS, False, _of_each(_odd_stamps)),),
    "dim_ticker": (Check("reused_symbols", REUSED, False, _of_each(_reused)),),
}
"""By mart, the checks that no other mart has."""
