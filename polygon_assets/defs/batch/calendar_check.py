"""A daily check that our calendar agrees with the vendor's, with its job and schedule.

When the check runs belongs here; how calendars are compared belongs to `batch.announced_closures`.
"""

import datetime as dt

import dagster as dg

from polygon_assets.defs.graph.keys import POLYGON_REST
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.market_calendar import ADD_A_DAY, NEW_YORK
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

BEFORE_THE_OPEN = "40 3 * * 1-5"
"""The pre-market opens at 04:00 New York."""


@dg.asset_check(
    name="calendar_agrees_with_the_vendor",
    asset=POLYGON_REST,
    description="The closures and early closes that the vendor announces are those of the "
    "calendar, by which everything is scheduled.",
)
def calendar_agrees(environment: Environment) -> dg.AssetCheckResult:
    return judge(environment.settings(), dt.datetime.now(dt.UTC))


def judge(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    """Fails for each day that differs, and when the vendor does not answer: nobody else would."""
    from polygon_assets.batch.announced_closures import differences
    from polygon_assets.clients.polygon import PolygonRest
    from polygon_assets.clients.polygon_answers import PolygonApiError
    from polygon_assets.market_clock import calendar_of

    calendar = calendar_of(settings)
    if calendar.name != "NYSE":
        return dg.AssetCheckResult(
            passed=True,
            description="the simulated exchange never closes: there is nothing to compare",
        )
    try:
        announced = PolygonRest(settings).upcoming_closures()
    except PolygonApiError as error:
        return dg.AssetCheckResult(
            passed=False, description=f"the vendor's calendar could not be read: {error}"
        )
    changes = differences(calendar, announced, calendar.day_of(now))
    return dg.AssetCheckResult(
        passed=not changes,
        description="\n\n".join([*changes, f"{ADD_A_DAY[0].upper()}{ADD_A_DAY[1:]}."])
        if changes
        else f"{len(announced)} announcements agree",
        metadata={"announced": len(announced), "different": len(changes)},
    )


JOB = dg.define_asset_job(
    "check_calendar",
    selection=dg.AssetSelection.checks(calendar_agrees),
    description="Compares the calendar with the closures that the vendor announces.",
)


@dg.schedule(
    job=JOB,
    name="calendar_daily",
    cron_schedule=BEFORE_THE_OPEN,
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Compares the calendar with the vendor's before each weekday's pre-market.",
)
def calendar_daily(environment: Environment) -> dg.RunRequest | dg.SkipReason:
    if missing := missing_settings(environment.settings(), "vendor"):
        return dg.SkipReason(not_set(missing))
    return dg.RunRequest()
