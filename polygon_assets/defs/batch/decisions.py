"""What the batch half does next: which trading days a run takes, whether reference data changed.

Add a decision about Snowflake's tables here, as a pure function of (facts, calendar, now);
`backlogs` gathers the facts, and sensors and schedules act.

Dagster's own backfills and automation do not take this over: `eager` never re-requests after a
failed run, a backfill has no place for "newest first", for a request budget or for a day that the
vendor does not have yet, and there is no public request for a backfill from a sensor.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice, takewhile

from dagster import DagsterRunStatus

from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.graph.runs import (
    FailOrphanedRun,
    RunFacts,
    Wait,
    failures_in_a_row,
    newest_run_id,
    orphan,
    pause_after,
    retry_at,
)
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.required_settings import not_set

SCHEDULES_TURN = dt.timedelta(minutes=10)
"""For this long a settled day is left to the daily schedule, which ticks 5 min after it settled."""
AUTOMATIONS_TURN = dt.timedelta(minutes=15)
"""For this long after its sources a table is left to automation, which looks every 30 s."""
DAYS_COMPARED = 7
"""A day may be proved complete up to five trading days later; later it needs a person anyway."""
DAYS_PER_RUN = 20
"""A run takes 10 s to start, and at 5 requests a minute a day of 20 named symbols takes 4 min."""
ATTEMPTS_IN_TURN = 3
"""After this many runs that start at the same missing day, other days go first."""
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=1), dt.timedelta(hours=1)
ASK_VENDOR_EVERY = dt.timedelta(hours=1)
LONGEST_SILENCE = dt.timedelta(minutes=10)
"""A living run writes an event once a minute while it holds its pool; between two attempts it is
silent for at most four minutes."""

Attempts = Mapping[dt.date, int]
"""By missing day, how many requested runs began with it: a run takes its newest day first."""


@dataclass(frozen=True)
class Load:
    """Launch a run for these consecutive trading days, or for tables without days."""

    reason: str
    days: tuple[dt.date, ...] = ()
    after: str = "none"
    """The run before it: a part of the run key."""


@dataclass(frozen=True)
class Backlog:
    """Trading days that must be done, those that are done, and what is under way."""

    days: Sequence[dt.date]
    """Oldest first and without holes."""
    done: Collection[dt.date]
    runs: Sequence[RunFacts] = ()
    """The runs requested so far, newest first."""
    under_way: str = ""
    """A queued or active run, whoever launched it, that may be filling the backlog."""
    missing_settings: Sequence[str] = ()
    days_per_run: int = DAYS_PER_RUN
    waits_for: str = ""
    """What must happen first."""

    @property
    def missing(self) -> list[dt.date]:
        """Oldest first."""
        return [day for day in self.days if day not in self.done]


@dataclass(frozen=True)
class ReferenceFacts:
    """The last sync of the reference data, its newest change, and the runs of its job."""

    synced_change: str | None
    """ISO 8601; None where the data was never synced."""
    asked_vendor_at: dt.datetime | None = None
    """When the vendor was last asked for its newest change."""
    runs: Sequence[RunFacts] = ()
    """Newest first."""
    under_way: str = ""
    missing_settings: Sequence[str] = ()


def settled_days(calendar: MarketCalendar, now: dt.datetime, count: int) -> list[dt.date]:
    """The last `count` settled trading days since the first partition, oldest first."""
    if count == 0:
        return []
    newest = calendar.newest_settled_day(now)
    days = (*calendar.days_before(newest, count - 1), newest)
    return [day for day in days if day >= FIRST_DAY]


def left_to_the_schedule(calendar: MarketCalendar, day: dt.date, now: dt.datetime) -> bool:
    """Whether the daily schedule will still load a settled day.

    It tries until midnight New York, when the free plan starts to serve the day.
    """
    is_today = calendar.day_of(now) == day
    return is_today or not calendar.is_settled(day, now - SCHEDULES_TURN)


def daily_batch_due(backlog: Backlog, calendar: MarketCalendar, now: dt.datetime) -> Load | Wait:
    """Load the newest settled day, the only one in the backlog, once."""
    if backlog.missing_settings:
        return Wait(not_set(backlog.missing_settings))
    if backlog.under_way:
        return Wait(f"run {backlog.under_way[:8]} is under way")
    day = backlog.days[-1]
    if day < FIRST_DAY:
        return Wait(f"{day} is before the first partition, {FIRST_DAY}")
    if day in backlog.done:
        return Wait(f"{day} is loaded{_why_not_today(calendar, now)}")
    return Load(f"{day} is final", (day,))


def missing_days(backlog: Backlog, attempts: Attempts, now: dt.datetime) -> Load | Wait:
    """One run for the newest consecutive missing days; after failures with a growing pause."""
    if backlog.missing_settings:
        return Wait(not_set(backlog.missing_settings))
    if not (missing := backlog.missing):
        return Wait(f"none is missing of {len(backlog.days)}")
    if backlog.under_way:
        return Wait(f"{len(missing)} missing; run {backlog.under_way[:8]} is under way")
    if backlog.waits_for:
        return Wait(f"{len(missing)} missing; first comes {backlog.waits_for}")
    if wait := _pause(backlog.runs, now):
        return Wait(f"{len(missing)} missing; {wait.reason}")
    days = _newest_in_turn(backlog, attempts)
    reason = f"{len(missing)} missing, of them now {days[0]} to {days[-1]}"
    return Load(reason, days, newest_run_id(backlog.runs))


def count_attempt(backlog: Backlog, attempts: Attempts, answer: Load | Wait) -> Attempts:
    """The attempts after this answer: one more for a run's first day, none for days now done."""
    begun = answer.days[-1] if isinstance(answer, Load) else None
    counts = {day: attempts.get(day, 0) + (day == begun) for day in backlog.missing}
    return {day: count for day, count in counts.items() if count}


def reference_load_due(facts: ReferenceFacts, now: dt.datetime) -> Load | Wait | None:
    """Load what was never loaded, or wait; None when the vendor's newest change must decide."""
    if facts.missing_settings:
        return Wait(not_set(facts.missing_settings))
    if facts.under_way:
        return Wait(f"run {facts.under_way[:8]} is under way")
    if wait := _pause(facts.runs, now):
        return wait
    if facts.synced_change is None:
        return Load("the reference data was never loaded", after=newest_run_id(facts.runs))
    if facts.asked_vendor_at and now - facts.asked_vendor_at < ASK_VENDOR_EVERY:
        asked_at = facts.asked_vendor_at
        next_at = asked_at + ASK_VENDOR_EVERY
        return Wait(f"unchanged at {asked_at:%H:%M} UTC; next check at {next_at:%H:%M} UTC")
    return None


def reference_changed(facts: ReferenceFacts, newest_change: str) -> Load | Wait:
    """Load when the vendor's newest change (ISO 8601) is later than that of the last sync."""
    if facts.synced_change and _moment(newest_change) <= _moment(facts.synced_change):
        return Wait(f"unchanged since {facts.synced_change}")
    reason = f"changed at {newest_change}, after {facts.synced_change}"
    return Load(reason, after=newest_run_id(facts.runs))


def goes_through_airbyte(
    days: Sequence[dt.date], calendar: MarketCalendar, now: dt.datetime
) -> bool:
    """Whether a sync loads these days: it takes no date and brings only the newest settled one."""
    return list(days) == [calendar.newest_settled_day(now)]


def orphaned_runs(runs: Sequence[RunFacts], now: dt.datetime) -> list[FailOrphanedRun]:
    """The runs in a pool that are silent for too long; others wait for the pool."""
    orphans = (orphan(run, LONGEST_SILENCE, now) for run in runs)
    return list(filter(None, orphans))


def _pause(runs: Sequence[RunFacts], now: dt.datetime) -> Wait | None:
    """The pause after a run that did not succeed: the longest one after a cancel."""
    if not runs or runs[0].status not in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        return None
    failures = failures_in_a_row(runs)
    pause = pause_after(failures, FIRST_PAUSE, LONGEST_PAUSE) if failures else LONGEST_PAUSE
    return retry_at(runs[0], pause, now)


def _newest_in_turn(backlog: Backlog, attempts: Attempts) -> tuple[dt.date, ...]:
    """The newest consecutive missing days in turn, as many as a run takes, oldest first."""
    turns = {day: attempts.get(day, 0) // ATTEMPTS_IN_TURN for day in backlog.missing}
    in_turn = {day for day, turn in turns.items() if turn == min(turns.values())}
    newest_first = dropwhile(lambda day: day not in in_turn, reversed(backlog.days))
    days = islice(takewhile(in_turn.__contains__, newest_first), backlog.days_per_run)
    return tuple(reversed(list(days)))


def _why_not_today(calendar: MarketCalendar, now: dt.datetime) -> str:
    """Why the newest settled day is not today; empty when it is."""
    today = calendar.day_of(now)
    session = calendar.session(today)
    if session is None:
        return f"; {today} is no trading day"
    if calendar.is_settled(today, now):
        return ""
    end = session.extended_close.astimezone(NEW_YORK)
    return f"; {today} ends at {end:%H:%M} New York and is final 15 min later"


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
