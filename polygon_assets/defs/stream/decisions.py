"""What the stream half does next: pure functions of (facts, calendar, now).

Add a decision about a stream program or the CSV here; whether a day is complete is decided in
`day_closing`, and sensors, schedules and ops gather the facts and act. Sessions are the market's
and `now` is market time, but runs and heartbeats have wall time: `decide` takes a clock for both.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from dagster import DagsterRunStatus

from polygon_assets.defs.graph.runs import (
    ACTIVE,
    FailOrphanedRun,
    RunFacts,
    Wait,
    failures_in_a_row,
    newest_run_id,
    orphan,
    pause_after,
    retry_at,
)
from polygon_assets.inspection.health import is_recent
from polygon_assets.market_calendar import REVISION_WINDOW, MarketCalendar, Session
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.messages import Heartbeat, utc
from polygon_assets.required_settings import not_set

OPENING_LEAD = dt.timedelta(minutes=5)
"""A run takes 5 to 14 s to start and a consumer group as long to settle, before the first trade."""
DRAIN_PATIENCE = dt.timedelta(minutes=10)
"""How long the readers of topics may go on after the session to work off their lag."""
LAST_EVENTS = dt.timedelta(seconds=60)
"""The producer delivers its last events within this time; before, a lag of 0 proves nothing."""

ORPHAN_AGE = dt.timedelta(minutes=3)
"""A living supervisor writes an event at least every 30 s, whatever its program does."""
LIKELY_ORPHAN_AGE = dt.timedelta(minutes=1)
"""A supervisor ends its run seconds after its program has stopped, unless Dagster cannot write the
end, as on a full disk; and seconds after its code server has ended, unless it was killed too."""
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(seconds=5), dt.timedelta(minutes=5)
"""Between the failed runs of a program: seconds, because each is a gap, then longer and longer."""
HUMAN_PAUSE = dt.timedelta(minutes=10)
"""After a failure that only a person cures: the next try shows whether it is cured."""
FIRST_CSV_PAUSE, LONGEST_CSV_PAUSE = dt.timedelta(minutes=1), dt.timedelta(minutes=30)
"""Between the failed reads of the subscriptions: streaming goes on with the last good ones."""
SHORT_RUN = dt.timedelta(minutes=15)
"""A run that failed later had been healthy: the count of failures starts again."""
MAX_FAILURES = 10
"""Their pauses last 20 minutes: one more run would cure nothing that these have not."""


@dataclass(frozen=True)
class StreamFacts:
    """What is known of one stream program: its runs, newest first, and its last heartbeat."""

    program: str
    runs: Sequence[RunFacts] = ()
    heartbeat: Heartbeat | None = None
    missing_settings: Sequence[str] = ()
    copies: int = 1
    """How many run at the same time. Above 1, the heartbeat may be another machine's leader's."""
    outlives_run: bool = False
    """Whether the program goes on without its run, as on ECS: its next run adopts it."""
    replaced_by: str = ""
    """What does the program's work in its place, so that it gets no run."""
    desired_tasks: int | None = None
    """How many tasks its ECS service is to run; None without one, or if ECS did not answer."""


@dataclass(frozen=True)
class Start:
    """Launch a run for this session; `after`, the run before it, makes the run key unique."""

    session: dt.date
    attempt: int
    after: str
    reason: str


@dataclass(frozen=True)
class StopService:
    """Scale the program's service to 0: no run needs it, and none would do it."""

    reason: str


@dataclass(frozen=True)
class CsvFacts:
    """The CSV's version now, the version last given to a run, and the runs of the version now."""

    etag: str
    seen_etag: str
    runs: Sequence[RunFacts] = ()
    """Newest first."""


def session_to_stream(calendar: MarketCalendar, now: dt.datetime) -> Session | None:
    """The session to stream: from shortly before the extended open to the revision window's end."""
    moments = (now, now + OPENING_LEAD, now - REVISION_WINDOW)
    return next((session for at in moments if (session := calendar.session_at(at))), None)


def streams_until(calendar: MarketCalendar, now: dt.datetime) -> dt.datetime | None:
    """When a program started at `now` may stop; None where the next session follows at once."""
    session = session_to_stream(calendar, now) or calendar.next_session(now)
    end = session.settled_at
    return None if session_to_stream(calendar, end) else end


def is_finished(
    program: str, heartbeats: Sequence[Heartbeat], until: dt.datetime | None, now: dt.datetime
) -> bool:
    """Whether a program may stop: the producer at `until`, its readers once they have read all.

    `heartbeats` has the newest of each copy that runs. A copy's lag is of its own partitions, so
    one that lags, or is silent, keeps all copies. `until` and `now` are wall time: draining does
    not get faster with the speed of a replay.
    """
    if until is None or now < until:
        return False
    if program == "producer" or now >= until + DRAIN_PATIENCE:
        return True
    # A copy without a partition has no lag, and may be one of several.
    lags = [beat.lag for beat in heartbeats if beat.lag is not None]
    have_read_all = bool(lags) and not any(lags)
    is_proved = all(is_recent(beat, now) for beat in heartbeats)
    return now >= until + LAST_EVENTS and have_read_all and is_proved


def decide(
    facts: StreamFacts, calendar: MarketCalendar, now: dt.datetime, clock: MarketClock = WALL_CLOCK
) -> Start | FailOrphanedRun | StopService | Wait:
    """Whether a stream program needs a run, has one, or must be left alone; `now` is wall time."""
    # A heartbeat proves the run only where the program ends with it.
    own = facts.heartbeat if facts.copies == 1 and not facts.outlives_run else None
    if active := next((run for run in facts.runs if run.status in ACTIVE), None):
        return _watch(active, own, now)
    if facts.replaced_by:
        reason = f"{facts.replaced_by} does its work"
        return StopService(reason) if facts.desired_tasks else Wait(reason)
    market_now = clock.market(now)
    session = session_to_stream(calendar, market_now)
    if session is None:
        opens = calendar.next_session(market_now).extended_open
        reason = f"closed; the next session opens at {opens:%Y-%m-%d %H:%M} UTC"
        is_draining = session_to_stream(calendar, market_now - DRAIN_PATIENCE) is not None
        return StopService(reason) if facts.desired_tasks and not is_draining else Wait(reason)
    if facts.missing_settings:
        return Wait(not_set(facts.missing_settings))
    if own and _is_alive(own, now):
        return Wait(f"runs outside Dagster as {own.instance}")
    since = session.extended_open - OPENING_LEAD
    runs = [run for run in facts.runs if clock.market(run.ended_or_created_at) >= since]
    answer = _start_or_wait(runs, session, now)
    is_down = runs and runs[0].status is DagsterRunStatus.CANCELED
    return StopService(answer.reason) if is_down and facts.desired_tasks else answer


def _watch(run: RunFacts, heartbeat: Heartbeat | None, now: dt.datetime) -> FailOrphanedRun | Wait:
    sent_at = utc(heartbeat.sent_at) if heartbeat else run.silent_since
    has_stopped = heartbeat is not None and heartbeat.state == "stopped"
    is_likely = run.launcher_is_gone or (has_stopped and sent_at > run.created_at)
    patience = LIKELY_ORPHAN_AGE if is_likely else ORPHAN_AGE
    return orphan(run, patience, now, sent_at) or Wait(
        f"run {run.short_id} is {run.status.value.lower()}"
    )


def _start_or_wait(runs: Sequence[RunFacts], session: Session, now: dt.datetime) -> Start | Wait:
    """Decide by the runs that ended in this session, newest first."""
    if not runs:
        return Start(session.day, 1, newest_run_id(runs), f"session of {session.day}")
    last = runs[0]
    if last.status is DagsterRunStatus.CANCELED:
        return Wait(
            f"run {last.short_id} was cancelled: stays down until the next session, "
            "or until someone launches it"
        )
    failures = failures_in_a_row(runs, _failed_early)
    if failures >= MAX_FAILURES and not last.needs_human:
        return Wait(
            f"gave up after {failures} failed runs; look at run {last.short_id}, "
            "then launch the job by hand"
        )
    pause = HUMAN_PAUSE if last.needs_human else pause_after(failures, FIRST_PAUSE, LONGEST_PAUSE)
    if wait := retry_at(last, pause, now):
        return wait
    reason = f"run {last.short_id} ended as {last.status.value.lower()}"
    return Start(session.day, len(runs) + 1, last.run_id, reason)


def _failed_early(run: RunFacts) -> bool:
    return run.failed and run.ended_or_created_at - run.created_at < SHORT_RUN


def _is_alive(heartbeat: Heartbeat, now: dt.datetime) -> bool:
    return heartbeat.state != "stopped" and is_recent(heartbeat, now)


def validate_csv(facts: CsvFacts, now: dt.datetime) -> Start | Wait:
    """One run for each version of the CSV; a further one, after a pause, where the run failed.

    A failed run has judged nothing; an invalid CSV makes a run that succeeds.
    """
    after = newest_run_id(facts.runs)
    if facts.etag != facts.seen_etag:
        return Start(now.date(), 1, after, f"new version {facts.etag}")
    failures = failures_in_a_row(facts.runs)
    if not failures:
        return Wait(f"unchanged: {facts.etag}")
    pause = pause_after(failures, FIRST_CSV_PAUSE, LONGEST_CSV_PAUSE)
    if wait := retry_at(facts.runs[0], pause, now):
        return Wait(f"{facts.etag} is not judged yet: {wait.reason}")
    reason = f"{facts.etag} is not judged yet: run {facts.runs[0].short_id} failed"
    return Start(now.date(), failures + 1, after, reason)
