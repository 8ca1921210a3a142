"""When a table is made anew by itself: the automation conditions of tables that follow others, by day or as a whole.

A mart never follows a table whose blocking check has failed: a bad table must not spread.
"""

from typing import Any

import dagster as dg

_BLOCKING_CHECKS_PASSED = dg.AutomationCondition.all_deps_blocking_checks_passed()
SHORT_OUTAGES = dg.RetryPolicy(max_retries=4, delay=30, backoff=dg.Backoff.EXPONENTIAL)
"""Tries for 7.5 min more: `eager` takes what it has asked for as done, and does not ask again after a failed run.

What outlasts that is asked for by the sensor `missing_days` where a table has days; one without days is made anew with the next update
of what it follows, the daily ones of them within a trading day. dg.Failure(allow_retries=False) is not tried again.
"""
FOLLOWS_ALSO_THE_PAST = (
    dg.AutomationCondition.eager()
    | (
        dg.AutomationCondition.initial_evaluation()
        & dg.AutomationCondition.missing()
        & ~dg.AutomationCondition.any_deps_missing()
    )
).with_label("eager, or new after what it follows")
"""`eager` alone sees no update that came before the asset was there: in an instance that is older than it, it would wait for the next."""
FOLLOWS_CLOSED_DAYS = (
    dg.AutomationCondition.eager()
    .without(dg.AutomationCondition.in_latest_time_window())
    .with_label("eager on every day")
)
"""`eager` alone sees the latest day only; a gap may be filled days later, and a replayed day may be any day of the past."""
FOLLOWS_CLOSED_DAYS_CHECKED = (FOLLOWS_CLOSED_DAYS & _BLOCKING_CHECKS_PASSED).with_label(
    "eager on every day, checks passed"
)

FOLLOWS_TABLES = (dg.AutomationCondition.eager() & _BLOCKING_CHECKS_PASSED).with_label(
    "eager, checks passed"
)
"""A table without days that follows tables without days."""

FOLLOWS_EVERY_DAY = (
    dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())
    & _BLOCKING_CHECKS_PASSED
).with_label("eager on every day, checks passed")
"""A day that follows the same day of others, however old it is: a history is loaded years back."""


def follows_any_day(*by_day: dg.AssetKey) -> dg.AutomationCondition[Any]:
    """A table without days that follows others by day: once for all the days that are built together.

    `eager` alone would wait for ever, because some day is always missing; here one that is there is enough.
    """
    days = dg.AssetSelection.assets(*by_day)
    missing = dg.AutomationCondition.any_deps_missing()
    return (
        dg.AutomationCondition.eager().replace(missing, missing.ignore(days))
        & dg.AutomationCondition.any_deps_match(~dg.AutomationCondition.missing()).allow(days)
        & _BLOCKING_CHECKS_PASSED
    ).with_label("eager on any day, checks passed")
