"""The automation conditions of tables that follow others, by day or as a whole.

Add a condition here; which asset has which belongs to `assets`. A mart never follows a table whose
blocking check has failed: a bad table must not spread.
"""

from typing import Any

import dagster as dg

_BLOCKING_CHECKS_PASSED = dg.AutomationCondition.all_deps_blocking_checks_passed()
SHORT_OUTAGES = dg.RetryPolicy(max_retries=4, delay=30, backoff=dg.Backoff.EXPONENTIAL)
"""`eager` never re-requests after a failed run, so the step retries itself for 7.5 min.

Longer outages are picked up by `missing_days` (partitioned tables) or by the next update upstream
(others), within a trading day for tables that follow daily ones. A dg.Failure with
allow_retries=False is not retried.
"""
FOLLOWS_ALSO_THE_PAST = (
    dg.AutomationCondition.eager()
    | (
        dg.AutomationCondition.initial_evaluation()
        & dg.AutomationCondition.missing()
        & ~dg.AutomationCondition.any_deps_missing()
    )
).with_label("eager, or new after what it follows")
"""`eager` ignores updates older than the asset: a newly added asset would wait for the next one."""
FOLLOWS_CLOSED_DAYS = (
    dg.AutomationCondition.eager()
    .without(dg.AutomationCondition.in_latest_time_window())
    .with_label("eager on every day")
)
"""`eager` follows the latest day only, but a gap may be filled days later, and any past day may be
replayed."""
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
"""A day that follows the same day of others, however old: a history is loaded years back."""


def follows_any_day(*by_day: dg.AssetKey) -> dg.AutomationCondition[Any]:
    """A table without days that follows others by day: once for all days that are built together.

    `eager` would wait for ever, because some day is always missing; here one day is enough.
    """
    days = dg.AssetSelection.assets(*by_day)
    missing = dg.AutomationCondition.any_deps_missing()
    return (
        dg.AutomationCondition.eager().replace(missing, missing.ignore(days))
        & dg.AutomationCondition.any_deps_match(~dg.AutomationCondition.missing()).allow(days)
        & _BLOCKING_CHECKS_PASSED
    ).with_label("eager on any day, checks passed")


AUTOMATION = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates the automation conditions of the assets: daily tables follow the proof "
    "of their day.",
)
