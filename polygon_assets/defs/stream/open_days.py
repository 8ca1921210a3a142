"""Which trading days still have to be proved complete, or again.

Add a reason to look at a day again here; the proof belongs to `day_closing`.
"""

import datetime as dt
from collections.abc import Collection, Sequence

import dagster as dg

from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.materializations import materialized_at
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.serving.gap_ledger import GapEntry

DAYS_BACK = 5
"""Trading days that may still be proved complete; an older one needs a person anyway."""
RECORDED_DAYS_BACK = 20
"""Trading days whose uncovered time still goes into the ledger: a machine may be off for weeks."""


def open_days(
    instance: dg.DagsterInstance,
    calendar: MarketCalendar,
    now: dt.datetime,
    entries: Collection[GapEntry],
    days_back: int = DAYS_BACK,
) -> list[dt.date]:
    """The last trading days, today included, that are not closed; `now` is market time.

    A day was closed too early if one of its gaps was stored or changed after it was closed.
    """
    today = calendar.day_of(now)
    # Weekends and holidays: there are more than one trading day in three.
    since = max(FIRST_DAY, today - dt.timedelta(days=3 * days_back))
    recent = list(calendar.trading_days(since, today))[-days_back:]
    closed_at = materialized_at(instance, STOCK_AGGREGATES, recent)
    return [
        day
        for day in recent
        if day not in closed_at
        or any(
            entry.updated_at is None or entry.updated_at > closed_at[day]
            for entry in _of_day(calendar, day, entries)
        )
    ]


def _of_day(
    calendar: MarketCalendar, day: dt.date, entries: Collection[GapEntry]
) -> Sequence[GapEntry]:
    session = calendar.session(day)
    if session is None:
        return []
    return [
        entry
        for entry in entries
        if entry.since < session.extended_close and entry.until > session.extended_open
    ]
