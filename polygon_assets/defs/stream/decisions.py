"""What should happen next: pure functions of (facts, calendar, now), where sessions are a market's and `now` is market time.

What happened to runs and programs has wall time; `decide` needs both, and a clock to tell which moments belong together.

Gathering the facts and acting on the answer belong to sensors, schedules and ops; nothing here reads a clock or a system.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from dagster import DagsterRunStatus

from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.market_clock import REVISION_WINDOW, WALL_CLOCK, MarketClock
from polygon_assets.messages import Gap, Heartbeat

OPENING_LEAD = dt.timedelta(minutes=5)
"""A run takes 5 to 14 s to start and a consumer group as long to settle; the first trade of the day must find them ready."""
DRAIN_PATIENCE = dt.timedelta(minutes=10)
"""How long filter and sink may go on after the window to work off their lag."""

ACTIVE = frozenset(
    {
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    }
)
LAUNCHED = frozenset({DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING})
ZOMBIE_AGE = dt.timedelta(minutes=3)
"""A living supervisor writes an event at least every 30 s, whatever its program does."""
FAREWELL_AGE = dt.timedelta(minutes=1)
"""A supervisor ends its run seconds after its program said that it stopped, unless Dagster could not write that: on a full disk."""
ALIVE_AGE = dt.timedelta(seconds=15)
"""Heartbeats come once a second; one this young means that the program runs, whoever started it."""
FIRST_PAUSE, LONGEST_PAUSE, HUMAN_PAUSE = (
    dt.timedelta(seconds=5),
    dt.timedelta(minutes=5),
    dt.timedelta(minutes=10),
)
SHORT_RUN = dt.timedelta(minutes=15)
"""A run that failed later than this had been healthy: the count of failures starts again."""
MAX_FAILURES = 10


def utc(unix_ms: int) -> dt.datetime:
    """A time of the messages. Raises ValueError, OverflowError or OSError for a number that is no time in milliseconds."""
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)


@dataclass(frozen=True)
class RunFacts:
    """What Dagster knows of one run; aware UTC moments."""

    run_id: str
    status: DagsterRunStatus
    created_at: dt.datetime
    ended_at: dt.datetime | None = None
    last_event_at: dt.datetime | None = None
    """Only known of runs that are under way."""
    needs_human: bool = False
    """It failed for a reason that trying again cannot cure: a wrong key, a missing entitlement, bad settings."""


@dataclass(frozen=True)
class StreamFacts:
    """What is known of one stream program: its runs, newest first, and its last heartbeat if it ever sent one."""

    program: str
    runs: Sequence[RunFacts] = ()
    heartbeat: Heartbeat | None = None
    missing_settings: Sequence[str] = ()


@dataclass(frozen=True)
class Start:
    """Launch a run for this session; `after` is the run before it, which makes the run key unique."""

    session: dt.date
    attempt: int
    after: str
    reason: str


@dataclass(frozen=True)
class Free:
    """Report a run as failed whose process is gone."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class Wait:
    """Leave everything as it is."""

    reason: str


def session_to_stream(calendar: MarketCalendar, now: dt.datetime) -> Session | None:
    """The session whose streams should be up: from shortly before the extended open to the end of the revision window."""
    moments = (now, now + OPENING_LEAD, now - REVISION_WINDOW)
    return next((session for moment in moments if (session := calendar.session_at(moment))), None)


def streams_until(calendar: MarketCalendar, now: dt.datetime) -> dt.datetime | None:
    """When a stream that is started at `now` has nothing more to do; None where the next session follows at once."""
    session = session_to_stream(calendar, now) or calendar.next_session(now)
    end = session.extended_close + REVISION_WINDOW
    return None if session_to_stream(calendar, end) else end


def is_settled(calendar: MarketCalendar, day: dt.date, now: dt.datetime) -> bool:
    """Whether the vendor will not send anything of that day any more."""
    session = calendar.session(day)
    return session is not None and now >= session.extended_close + REVISION_WINDOW


def is_finished(
    program: str, heartbeat: Heartbeat | None, until: dt.datetime | None, now: dt.datetime
) -> bool:
    """Whether a running program may stop for the day: the producer at the end of the window, its readers when they have read all.

    Both are wall time: what the programs need to hand on and to drain does not shrink with the speed of a replay.
    """
    if until is None or now < until:
        return False
    if program == "producer" or now >= until + DRAIN_PATIENCE:
        return True
    # The producer needs a moment to hand on its last events; before that a lag of 0 proves nothing.
    return now >= until + dt.timedelta(seconds=60) and heartbeat is not None and heartbeat.lag == 0


def decide(
    facts: StreamFacts, calendar: MarketCalendar, now: dt.datetime, clock: MarketClock = WALL_CLOCK
) -> Start | Free | Wait:
    """Whether a stream program needs a run, has one, or must be left alone; `now` is wall time, like that of the runs."""
    if active := next((run for run in facts.runs if run.status in ACTIVE), None):
        return _watch(active, facts.heartbeat, now)
    market_now = clock.market(now)
    session = session_to_stream(calendar, market_now)
    if session is None:
        return Wait(
            f"closed; the next session opens at {calendar.next_session(market_now).extended_open:%Y-%m-%d %H:%M} UTC"
        )
    if facts.missing_settings:
        return Wait(
            f"not set: {', '.join(facts.missing_settings)}; `polygon-assets doctor` says how to get them"
        )
    if facts.heartbeat and _alive(facts.heartbeat, now):
        return Wait(f"runs outside Dagster as {facts.heartbeat.instance}")
    since = session.extended_open - OPENING_LEAD
    return _start_or_wait(
        [run for run in facts.runs if clock.market(ended(run)) >= since], session, now
    )


def _watch(run: RunFacts, heartbeat: Heartbeat | None, now: dt.datetime) -> Free | Wait:
    silent_since = run.last_event_at or run.created_at
    beat = utc(heartbeat.sent_at) if heartbeat else silent_since
    has_stopped = heartbeat is not None and heartbeat.state == "stopped" and beat > run.created_at
    patience = FAREWELL_AGE if has_stopped else ZOMBIE_AGE
    if run.status in LAUNCHED and now - max(silent_since, beat) > patience:
        return Free(
            run.run_id,
            f"no event from the run and no heartbeat from its program since {max(silent_since, beat):%H:%M:%S} UTC",
        )
    return Wait(f"run {run.run_id[:8]} is {run.status.value.lower()}")


def _start_or_wait(runs: Sequence[RunFacts], session: Session, now: dt.datetime) -> Start | Wait:
    """Decide by the runs that ended in this session, newest first."""
    after = runs[0].run_id if runs else "none"
    if not runs:
        return Start(session.day, 1, after, f"session of {session.day}")
    last = runs[0]
    if last.status is DagsterRunStatus.CANCELED:
        return Wait(
            f"run {last.run_id[:8]} was cancelled: stays down until the next session, or until someone launches it"
        )
    failures = len(list(takewhile(_failed_early, runs)))
    if failures >= MAX_FAILURES and not last.needs_human:
        return Wait(
            f"gave up after {failures} failed runs; look at run {last.run_id[:8]}, then launch the job by hand"
        )
    if (due := ended(last) + _pause(last, failures)) > now:
        return Wait(
            f"run {last.run_id[:8]} ended as {last.status.value.lower()}; next try at {due:%H:%M:%S} UTC"
        )
    return Start(
        session.day,
        len(runs) + 1,
        after,
        f"run {last.run_id[:8]} ended as {last.status.value.lower()}",
    )


def _pause(last: RunFacts, failures: int) -> dt.timedelta:
    if last.needs_human:
        return HUMAN_PAUSE
    doublings: int = 2 ** max(0, failures - 1)
    return min(FIRST_PAUSE * doublings, LONGEST_PAUSE)


def _failed_early(run: RunFacts) -> bool:
    return run.status is DagsterRunStatus.FAILURE and ended(run) - run.created_at < SHORT_RUN


def ended(run: RunFacts) -> dt.datetime:
    """When the run ended; when it was created if its end is not known."""
    return run.ended_at or run.created_at


def _alive(heartbeat: Heartbeat, now: dt.datetime) -> bool:
    return heartbeat.state != "stopped" and now - utc(heartbeat.sent_at) < ALIVE_AGE


@dataclass(frozen=True)
class Sighting:
    """A producer that was up from `since` to `at` without a break, and at the end of it had `confirmed` of `desired` channels."""

    since: dt.datetime
    at: dt.datetime
    desired: int
    confirmed: int


@dataclass(frozen=True)
class DayFacts:
    """What is known of one trading day; `pending_since` holds, by group, when its oldest unprocessed message was received."""

    day: dt.date
    rows: int
    gaps: Sequence[Gap] = ()
    pending_since: Mapping[str, dt.datetime | None] = field(default_factory=dict)
    producers: Sequence[Sighting] = ()
    """Those seen soon after the open and the close, and the last one ever."""


@dataclass(frozen=True)
class Verdict:
    """Whether a day is proved complete, and why it is not."""

    closed: bool
    reason: str


def day_closed(facts: DayFacts, calendar: MarketCalendar, now: dt.datetime) -> Verdict:
    """A day is closed when it is over, was streamed from open to close, everything received for it is stored, and no gap is open."""
    session = calendar.session(facts.day)
    if session is None:
        return Verdict(False, "not a trading day")
    settled = session.extended_close + REVISION_WINDOW
    if now < settled:
        return Verdict(False, f"corrections may come until {settled:%Y-%m-%d %H:%M} UTC")
    doubts = [
        *_coverage_doubts(facts, session),
        *_gap_doubts(facts, session),
        *_lag_doubts(facts, settled),
    ]
    return (
        Verdict(False, "; ".join(doubts))
        if doubts
        else Verdict(True, f"{facts.rows:,} rows; session over, nothing pending, no gap open")
    )


def _coverage_doubts(facts: DayFacts, session: Session) -> list[str]:
    if not facts.rows:
        return ["no row: the day was not streamed"]
    # A loss in between is in the gap ledger, because the producer that comes next writes it. Nobody writes one for the time before
    # the first producer of the day, and after the last one only the next day's, when this day has long been judged.
    edges = {"open": session.extended_open, "close": session.extended_close}
    return [
        doubt
        for name, moment in edges.items()
        if (doubt := _edge_doubt(facts.producers, f"the {name} ({moment:%H:%M} UTC)", moment))
    ]


def _edge_doubt(producers: Sequence[Sighting], name: str, moment: dt.datetime) -> str:
    """What speaks against a producer with all its channels at that moment; the first sighting after it is the one that knows."""
    seen = min(
        (one for one in producers if one.since <= moment <= one.at),
        key=lambda one: one.at,
        default=None,
    )
    if seen is None:
        return f"no producer was up at {name}"
    # A channel that stays unconfirmed never reaches the gap ledger, nor does a lost connection before it is back.
    return (
        ""
        if 0 < seen.desired <= seen.confirmed
        else f"{seen.confirmed} of {seen.desired} channels were confirmed at {name}"
    )


def _gap_doubts(facts: DayFacts, session: Session) -> list[str]:
    opening, closing = (
        moment.timestamp() * 1000 for moment in (session.extended_open, session.extended_close)
    )
    # Compared as numbers: a vendor's nonsense stamp in one gap must not keep every day from being judged.
    within = [gap for gap in facts.gaps if gap.since < closing and gap.until > opening]
    if not within:
        return []
    return [
        f"{len(within)} open gap(s), the first at {utc(int(max(within[0].since, opening))):%H:%M:%S} UTC ({within[0].reason})"
    ]


def _lag_doubts(facts: DayFacts, settled: dt.datetime) -> list[str]:
    # With a market that never closes the lag is never 0; what counts is that nothing of the day is among what is left.
    return [
        f"{group} has not processed what was received at {since:%Y-%m-%d %H:%M:%S} UTC"
        for group, since in facts.pending_since.items()
        if since is not None and since < settled
    ]


@dataclass(frozen=True)
class CsvFacts:
    """The subscription CSV as it is now, the version that was last handed to a run, and that version's runs, newest first."""

    etag: str
    seen_etag: str
    runs: Sequence[RunFacts] = ()


def validate_csv(facts: CsvFacts, now: dt.datetime) -> Start | Wait:
    """One run for each version of the CSV; again, with pauses, only where the run itself failed and so judged nothing."""
    after = facts.runs[0].run_id if facts.runs else "none"
    if facts.etag != facts.seen_etag:
        return Start(now.date(), 1, after, f"new version {facts.etag}")
    failures = len(list(takewhile(lambda run: run.status is DagsterRunStatus.FAILURE, facts.runs)))
    if not failures:
        return Wait(f"unchanged: {facts.etag}")
    due = ended(facts.runs[0]) + min(
        dt.timedelta(minutes=1) * 2 ** (failures - 1), dt.timedelta(minutes=30)
    )
    if due > now:
        return Wait(f"{facts.etag} could not be judged; next try at {due:%H:%M:%S} UTC")
    return Start(
        now.date(), failures + 1, after, f"{facts.etag} could not be judged in run {after[:8]}"
    )
