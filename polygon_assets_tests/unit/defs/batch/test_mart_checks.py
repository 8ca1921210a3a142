"""How answers about marts are judged; the questions themselves are tested with the marts."""

import datetime as dt
from typing import TYPE_CHECKING, cast

import dagster as dg
import pytest

from polygon_assets.batch.marts import MARTS, Mart, findings
from polygon_assets.batch.marts.findings import (
    Finding,
    Missing,
    ReusedSymbol,
    SplitEntry,
    SplitJump,
)
from polygon_assets.defs.batch.mart_checks import (
    Built,
    Check,
    Judgement,
    checks_of,
    judge_decided,
    judge_duplicates,
    judge_jumps,
    judge_missing,
    judge_orphans,
    judge_reused,
    judge_rows,
)

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

THURSDAY, FRIDAY = dt.date(2026, 11, 19), dt.date(2026, 11, 20)
FORTNIGHT = [dt.date(2026, 11, day) for day in (9, 10, 11, 12, 13, 16, 17, 18, 19, 20)]
KEY = dg.AssetKey(["snowflake", "marts", "fact_daily_trading"])


def jump(adjusted: float, factor: float = 0.5) -> SplitJump:
    return SplitJump("AAPL", FRIDAY, factor, adjusted, 0.0)


def built(day: dt.date) -> Built:
    return Built(cast("SnowflakeConnection", None), MARTS["fact_daily_trading"], day, 10)


@pytest.mark.parametrize(
    ("rows", "passed"), [(11_000, True), (8_800, True), (8_799, False), (0, False), (20_000, True)]
)
def test_a_day_has_hardly_fewer_rows_than_the_days_around_it(rows: int, passed: bool) -> None:
    answer = judge_rows(dict.fromkeys(FORTNIGHT, 11_000) | {FRIDAY: rows}, [FRIDAY])[FRIDAY]
    assert (answer.passed, answer.is_error) == (passed, True)
    assert answer.message == f"{rows:,} rows, on the days around it 11,000"


def test_a_bad_day_stays_an_error_when_the_days_after_it_are_good() -> None:
    monday = FORTNIGHT[5]
    judged = judge_rows(dict.fromkeys(FORTNIGHT, 11_000) | {monday: 2_000}, [FRIDAY])
    assert [day for day, judgement in judged.items() if not judgement.passed] == [monday]
    two = judge_rows({THURSDAY: 2_000, FRIDAY: 11_000}, [FRIDAY])
    assert [judgement.passed for judgement in two.values()] == [False, True]


def test_a_day_with_missing_values_stays_an_error_when_a_good_day_is_built_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = {THURSDAY: 500, FRIDAY: 0}
    found = {day: Missing(1_000, {"CLOSE": count}) for day, count in missing.items()}
    monkeypatch.setattr(findings, "missing_values", lambda *_: found)
    [check] = [
        check
        for check in checks_of(MARTS["fact_daily_trading"])
        if check.name == "nothing_is_missing"
    ]
    result = check.result(KEY, [built(FRIDAY)])
    assert (result.passed, result.description) == (
        False,
        "2026-11-19: of 1,000 rows without a value: CLOSE in 500",
    )


def test_old_days_are_judged_when_they_are_built_and_by_the_days_around_them() -> None:
    years_ago = dt.date(2021, 11, 18)
    counts = dict.fromkeys(FORTNIGHT, 11_000) | {
        years_ago: 8_000,
        years_ago + dt.timedelta(days=1): 1_000,
    }
    assert list(judge_rows(counts, [FRIDAY])) == FORTNIGHT
    judged = judge_rows(counts, [years_ago, years_ago + dt.timedelta(days=1)])
    assert [day for day, judgement in judged.items() if not judgement.passed] == [
        years_ago + dt.timedelta(days=1)
    ]


def test_the_first_day_is_compared_with_nothing_but_must_not_be_empty() -> None:
    assert judge_rows({FRIDAY: 5}, [FRIDAY])[FRIDAY].passed
    assert not judge_rows({}, [FRIDAY])[FRIDAY].passed


def test_a_key_that_is_there_twice_is_an_error_with_its_name() -> None:
    assert judge_duplicates(Finding(0, [])).passed
    answer = judge_duplicates(Finding(1, [("AAPL", "2026-11-20")]))
    assert (answer.passed, answer.is_error) == (False, True)
    assert "AAPL/2026-11-20" in answer.message


@pytest.mark.parametrize(
    ("missing", "passed", "bad"),
    [(0, True, False), (1, False, False), (10, False, False), (11, False, True)],
)
def test_missing_values_are_a_warning_as_long_as_they_are_few(
    missing: int, passed: bool, bad: bool
) -> None:
    answer = judge_missing(Missing(1000, {"CLOSE": missing, "OPEN": 0}))
    assert (answer.passed, answer.is_error) == (passed, bad)


def test_some_unknown_tickers_are_let_pass_and_many_are_a_warning_with_examples() -> None:
    assert judge_orphans("TICKER", Finding(10, [("ZVZZT",)]), rows=1000).passed
    answer = judge_orphans("TICKER", Finding(11, [("ZVZZT",)]), rows=1000)
    assert (answer.passed, answer.is_error) == (False, False)
    assert "such as ZVZZT" in answer.message


def test_splits_that_are_in_the_prices_pass() -> None:
    assert judge_jumps([jump(0.02), jump(-0.1)]).passed


@pytest.mark.parametrize(
    ("broken", "splits", "bad"),
    [(1, 1, False), (2, 2, False), (3, 3, True), (3, 59, True), (3, 60, False), (6, 100, True)],
)
def test_a_few_splits_that_are_not_in_the_prices_are_a_warning_and_many_an_error(
    broken: int, splits: int, bad: bool
) -> None:
    answer = judge_jumps([jump(-0.5)] * broken + [jump(0.02)] * (splits - broken))
    assert (answer.passed, answer.is_error) == (False, bad)
    assert "AAPL on 2026-11-20 by -50%" in answer.message


def test_days_that_are_built_together_have_one_result_that_names_the_failed_ones() -> None:
    answers = {
        THURSDAY: Judgement(False, "bad rows", is_error=True),
        FRIDAY: Judgement(True, "good"),
    }
    check = Check(
        "name",
        "description",
        True,
        lambda built: {one.day: answers[one.day] for one in built if one.day},
    )
    result = check.result(KEY, [built(THURSDAY), built(FRIDAY)])
    assert (result.passed, result.severity, result.description) == (
        False,
        dg.AssetCheckSeverity.ERROR,
        "2026-11-19: bad rows",
    )
    assert check.result(KEY, [built(FRIDAY)]).passed


@pytest.mark.parametrize(("blocking", "passed"), [(True, True), (False, False)])
def test_a_warning_does_not_stop_what_waits_for_a_blocking_check_but_is_told(
    blocking: bool, passed: bool
) -> None:
    check = Check(
        "name", "description", blocking, lambda _built: {None: Judgement(False, "some are missing")}
    )
    result = check.result(KEY, [built(FRIDAY)])
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    names_the_reason = "passed, because few rows are affected:"
    assert (result.description or "").startswith(names_the_reason) is blocking
    assert (result.description or "").endswith("some are missing")


@pytest.mark.parametrize(
    "mart", [mart for mart in MARTS.values() if mart.sql], ids=lambda mart: mart.name
)
def test_every_mart_has_checks_of_its_keys_and_only_those_that_warn_of_little_do_not_block(
    mart: Mart,
) -> None:
    checks = {check.name: check.blocking for check in checks_of(mart)}
    assert {"keys_are_unique", "nothing_is_missing"} <= checks.keys()
    warning = {
        "every_value_is_there",
        "no_jump_at_a_split",
        "reused_symbols",
        "stamps_are_of_the_day",
    } & checks.keys()
    assert {name for name, blocking in checks.items() if not blocking} == {
        name for name in checks if name.endswith("_is_known")
    } | warning


def test_a_contradiction_is_named_with_ticker_day_entries_and_the_cure() -> None:
    day = dt.date(2026, 11, 16)
    judgement = judge_decided(
        [SplitEntry("META", day, 2, 3, "a"), SplitEntry("META", day, None, 1.5, "b")]
    )
    assert (judgement.passed, judgement.is_error) == (False, True)
    assert "META on 2026-11-16: 2 to 3 (a), nothing to 1.5 (b)" in judgement.message
    undated = judge_decided([SplitEntry("META", None, 1, 10, "c")])
    assert "META on no day: 1 to 10 (c)" in undated.message
    assert "split_decisions.csv or SPLIT_DECISIONS" in judgement.message
    assert judge_decided([]).passed


@pytest.mark.parametrize(
    ("delisted", "first_bar", "passed"),
    [
        (dt.date(2026, 11, 2), dt.date(2026, 11, 3), True),
        (dt.date(2026, 11, 2), dt.date(2026, 11, 2), False),
        (dt.date(2026, 11, 2), None, True),
        (None, dt.date(2026, 11, 2), False),
    ],
)
def test_a_reused_symbol_is_listed_and_a_warning_where_bars_of_both_are_loaded(
    delisted: dt.date | None, first_bar: dt.date | None, passed: bool
) -> None:
    judgement = judge_reused(
        [ReusedSymbol("META", "Meta Platforms", "Metamaterial", delisted, first_bar)]
    )
    assert (judgement.passed, judgement.is_error) == (passed, False)
    assert "META is Meta Platforms" in judgement.message
    assert judge_reused([]).passed
