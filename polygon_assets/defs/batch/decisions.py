"""What the batch half should do next: which trading days to load, and whether the reference data has changed.

Pure functions of (facts, calendar, now), like `decisions`, which decides about the streams.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice, takewhile

from dagster import DagsterRunStatus

from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.stream.decisions import Free, RunFacts, Wait, ended, is_settled
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar

SCHEDULES_TURN = dt.timedelta(minutes=10)
"""For this long after a day is final it is the daily schedule's, which ticks 5 min after."""
AUTOMATIONS_TURN = dt.timedelta(minutes=15)
"""For this long after its sources a fact or a comparison is the automation's, which looks every 30 s."""
DAYS_COMPARED = 7
"""A day may be proved complete up to five trading days later; an older one needs a person anyway."""
DAYS_PER_RUN = 20
"""A run's start costs 10 s, and at 5 requests a minute a day of 20 named symbols takes 4 minutes: longer runs only wait longer."""
TRIES_IN_TURN = 3
"""A day that is still missing after so many runs that began with it lets the others have as many: one bad day does not hold up the rest."""
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=1), dt.timedelta(hours=1)
REFERENCE_LOOK_EVERY = dt.timedelta(hours=1)
LONGEST_SILENCE = dt.timedelta(minutes=10)
"""A living run says once a minute that it holds its pool; only between two tries it is silent, for four minutes."""

Tries = Mapping[dt.date, int]
"""By day that is still missing, how many of the runs asked for began with it: a run takes its newest day first."""


@dataclass(frozen=True)
class Load:
    """Launch a run for these consecutive trading days (none for tables without days); `after` is the run before it, for the run key."""

    reason: str
    days: tuple[dt.date, ...] = ()
    after: str = "none"


@dataclass(frozen=True)
class Backlog:
    """Trading days, oldest first and none left out; those of them that need nothing; and the runs asked for so far, newest first."""

    wanted: Sequence[dt.date]
    done: Collection[dt.date]
    runs: Sequence[RunFacts] = ()
    under_way: str = ""
    """A run, whoever launched it, queued or going, that may be filling the backlog."""
    missing_settings: Sequence[str] = ()
    days_per_run: int = DAYS_PER_RUN
    waits_for: str = ""
    """What has to be there first."""

    @property
    def missing(self) -> list[dt.date]:
        """Oldest first."""
        return [day for day in self.wanted if day not in self.done]


@dataclass(frozen=True)
class ReferenceFacts:
    """When the reference data was last synced, its newest change then, and the runs of its job, newest first."""

    synced_change: str | None
    """ISO 8601; None where it was never synced."""
    looked_at: dt.datetime | None = None
    """When the vendor was last asked for its newest change."""
    runs: Sequence[RunFacts] = ()
    under_way: str = ""
    missing_settings: Sequence[str] = ()


def newest_settled_day(calendar: MarketCalendar, now: dt.datetime) -> dt.date:
    """The last trading day of which the vendor will not send anything any more."""
    day = calendar.day_of(now)
    while not is_settled(calendar, day, now):
        day = calendar.previous_day(day)
    return day


def settled_days(calendar: MarketCalendar, now: dt.datetime, count: int) -> list[dt.date]:
    """The last `count` settled trading days, oldest first; days before the first partition are left out."""
    if count == 0:
        return []
    newest = newest_settled_day(calendar, now)
    return [day for day in (*calendar.days_before(newest, count - 1), newest) if day >= FIRST_DAY]


def left_to_the_schedule(calendar: MarketCalendar, day: dt.date, now: dt.datetime) -> bool:
    """Whether the daily schedule will still load a settled day: until midnight New York, from when on the free plan gives it."""
    return calendar.day_of(now) == day or not is_settled(calendar, day, now - SCHEDULES_TURN)


def daily_batch_due(backlog: Backlog, calendar: MarketCalendar, now: dt.datetime) -> Load | Wait:
    """Load the newest settled day, the one that is wanted, once. The reason to wait also says what is with today."""
    if backlog.missing_settings:
        return Wait(_not_set(backlog.missing_settings))
    if backlog.under_way:
        return Wait(f"run {backlog.under_way[:8]} is under way")
    day = backlog.wanted[-1]
    if day < FIRST_DAY:
        return Wait(f"{day} is before the first partition, {FIRST_DAY}")
    if day in backlog.done:
        return Wait(f"{day} is loaded{_why_not_today(calendar, now)}")
    return Load(f"{day} is final", (day,))


def missing_days(backlog: Backlog, tries: Tries, now: dt.datetime) -> Load | Wait:
    """One run for consecutive days that are missing, newest first; after failures with pauses, of which the longest is an hour."""
    if backlog.missing_settings:
        return Wait(_not_set(backlog.missing_settings))
    if not (missing := backlog.missing):
        return Wait(f"none is missing of {len(backlog.wanted)}")
    if backlog.under_way:
        return Wait(f"{len(missing)} missing; run {backlog.under_way[:8]} is under way")
    if backlog.waits_for:
        return Wait(f"{len(missing)} missing; first comes {backlog.waits_for}")
    if wait := _pause_after(backlog.runs, now):
        return Wait(f"{len(missing)} missing; {wait.reason}")
    days = _newest_in_turn(backlog, tries)
    return Load(
        f"{len(missing)} missing, of them now {days[0]} to {days[-1]}",
        days,
        _newest_run(backlog.runs),
    )


def count_attempt(backlog: Backlog, tries: Tries, answer: Load | Wait) -> Tries:
    """What to remember of an answer: one more try of the day that its run begins with; days that are there are forgotten."""
    begun = answer.days[-1] if isinstance(answer, Load) else None
    counts = {day: tries.get(day, 0) + (day == begun) for day in backlog.missing}
    return {day: count for day, count in counts.items() if count}


def reference_look_due(facts: ReferenceFacts, now: dt.datetime) -> Load | Wait | None:
    """Load what was never loaded; otherwise wait, or None when it is time to ask the vendor for its newest change."""
    if facts.missing_settings:
        return Wait(_not_set(facts.missing_settings))
    if facts.under_way:
        return Wait(f"run {facts.under_way[:8]} is under way")
    if wait := _pause_after(facts.runs, now):
        return wait
    if facts.synced_change is None:
        return Load("the reference data was never loaded", after=_newest_run(facts.runs))
    if facts.looked_at and now - facts.looked_at < REFERENCE_LOOK_EVERY:
        return Wait(
            f"unchanged at {facts.looked_at:%H:%M} UTC; next look at {facts.looked_at + REFERENCE_LOOK_EVERY:%H:%M} UTC"
        )
    return None


def reference_changed(facts: ReferenceFacts, newest_change: str) -> Load | Wait:
    """Load when the vendor's newest change (ISO 8601) is later than the newest one of the last sync."""
    if facts.synced_change and dt.datetime.fromisoformat(
        newest_change
    ) <= dt.datetime.fromisoformat(facts.synced_change):
        return Wait(f"unchanged since {facts.synced_change}")
    return Load(
        f"changed at {newest_change}, after {facts.synced_change}", after=_newest_run(facts.runs)
    )


def goes_through_airbyte(
    days: Sequence[dt.date], calendar: MarketCalendar, now: dt.datetime
) -> bool:
    """Whether these days are loaded by an Airbyte sync, which takes no date: only the newest settled one can be had that way."""
    return list(days) == [newest_settled_day(calendar, now)]


def silent_runs(runs: Sequence[RunFacts], now: dt.datetime) -> list[Free]:
    """Those of the running runs that had no event for long: their process is gone, and they would hold their pool for ever."""
    silent = {
        run.run_id: since
        for run in runs
        if now - (since := run.last_event_at or run.created_at) > LONGEST_SILENCE
    }
    return [
        Free(
            run_id,
            f"no event since {since:%Y-%m-%d %H:%M:%S} UTC: its process is gone, and others wait for its pool",
        )
        for run_id, since in silent.items()
    ]


def _pause_after(runs: Sequence[RunFacts], now: dt.datetime) -> Wait | None:
    """A pause after a run that did not succeed: longer with each failure in a row, the longest after a cancel."""
    if not runs or runs[0].status not in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        return None
    failures = len(list(takewhile(lambda run: run.status is DagsterRunStatus.FAILURE, runs)))
    doublings: int = 2 ** max(0, failures - 1)
    pause = min(FIRST_PAUSE * doublings, LONGEST_PAUSE) if failures else LONGEST_PAUSE
    due = ended(runs[0]) + pause
    message = f"run {runs[0].run_id[:8]} ended as {runs[0].status.value.lower()}; next try at {due:%H:%M:%S} UTC"
    return Wait(message) if due > now else None


def _newest_in_turn(backlog: Backlog, tries: Tries) -> tuple[dt.date, ...]:
    """The newest missing days that follow each other, as many as a run takes, oldest first; without those whose turn is over."""
    turns = {day: tries.get(day, 0) // TRIES_IN_TURN for day in backlog.missing}
    in_turn = {day for day, turn in turns.items() if turn == min(turns.values())}
    newest_first = dropwhile(lambda day: day not in in_turn, reversed(backlog.wanted))
    days = islice(takewhile(in_turn.__contains__, newest_first), backlog.days_per_run)
    return tuple(reversed(list(days)))


def _why_not_today(calendar: MarketCalendar, now: dt.datetime) -> str:
    today = calendar.day_of(now)
    session = calendar.session(today)
    if session is None:
        return f"; {today} is no trading day"
    if is_settled(calendar, today, now):
        return ""
    return f"; {today} ends at {session.extended_close.astimezone(NEW_YORK):%H:%M} New York and is final 15 min later"


def _not_set(names: Sequence[str]) -> str:
    return f"not set: {', '.join(names)}; `polygon-assets doctor` says how to get them"


def _newest_run(runs: Sequence[RunFacts]) -> str:
    return runs[0].run_id if runs else "none"
