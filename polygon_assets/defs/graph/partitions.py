"""The trading-day partitions, derived from the market calendar.

Only keys belong here; which asset is partitioned belongs to `assets`. Weekends and holidays have no
key, so nobody can request a day on which nothing was traded.
"""

import datetime as dt

import dagster as dg

from polygon_assets.market_calendar import NEW_YORK, MarketCalendar

FIRST_DAY = dt.date(2026, 1, 2)
"""The first trading day of the first year that is kept."""
LAST_EXCLUSION = dt.date(2036, 12, 31)
"""The holiday table reaches as far."""
WEEKEND = ("0 0 * * 6", "0 0 * * 0")


def trading_days(calendar: MarketCalendar) -> dg.DailyPartitionsDefinition:
    """One key per trading day, New York dates; today's key exists from midnight on.

    On a holiday `end_offset` makes the next session's key appear early: take today's key from the
    calendar, never the last key.
    """
    holidays = [
        dt.datetime.combine(day, dt.time(), NEW_YORK)
        for day in calendar.holidays(FIRST_DAY, LAST_EXCLUSION)
    ]
    return dg.DailyPartitionsDefinition(
        start_date=FIRST_DAY.isoformat(),
        timezone=NEW_YORK.key,
        end_offset=1,
        exclusions=[] if calendar.name == "24/7" else [*WEEKEND, *holidays],
    )
