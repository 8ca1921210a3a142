"""Dagster's runs as facts, and what both halves decide about them: pauses, orphaned runs.

Add what is true of any run here; when a program or a load needs a run belongs to `decisions`.
"""

import datetime as dt
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG, PRIORITY_TAG

NEEDS_HUMAN_TAG = "polygon/needs_human"
ASKED_BY_TAG = "polygon/asked_by"
SCHEDULED_FIRST = {PRIORITY_TAG: "10"}
"""Scheduled runs are next in the queue, before a history that fills its pool for days."""

ACTIVE = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    }
)
LAUNCHED = frozenset({dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING})
"""A run with one of these statuses has a process, or had one."""
HISTORY = 15
"""Runs that are read back: more than the failures after which the supervision gives up."""

LOG_EVERY_SECONDS = 60.0
LAUNCHER_SECONDS = 1.0

ScheduleAnswer = dg.RunRequest | dg.SkipReason


@dataclass(frozen=True)
class RunFacts:
    """Dagster's record of one run; all moments are aware and in UTC."""

    run_id: str
    status: dg.DagsterRunStatus
    created_at: dt.datetime
    ended_at: dt.datetime | None = None
    last_event_at: dt.datetime | None = None
    """Only known of active runs."""
    needs_human: bool = False
    """It failed for a reason that no retry cures: a wrong key, a missing plan, bad settings."""
    launcher_is_gone: bool = False
    """The code server that started it on this machine is gone. Only known of active runs."""

    @property
    def short_id(self) -> str:
        """The part of the id that the UI shows."""
        return self.run_id[:8]

    @property
    def ended_or_created_at(self) -> dt.datetime:
        """When the run ended; when it was created if its end is not known."""
        return self.ended_at or self.created_at

    @property
    def silent_since(self) -> dt.datetime:
        """When the run last wrote an event; when it was created if it wrote none."""
        return self.last_event_at or self.created_at

    @property
    def failed(self) -> bool:
        return self.status is dg.DagsterRunStatus.FAILURE


@dataclass(frozen=True)
class Wait:
    """Leave everything as it is."""

    reason: str


@dataclass(frozen=True)
class FailOrphanedRun:
    """Report a run as failed whose process is gone."""

    run_id: str
    reason: str


def orphan(
    run: RunFacts,
    longest_silence: dt.timedelta,
    now: dt.datetime,
    program_seen_at: dt.datetime | None = None,
) -> FailOrphanedRun | None:
    """The run, if it was launched and neither it nor its program gave a sign of life for so long.

    Queued runs have no process yet.
    """
    last_sign = max(run.silent_since, program_seen_at or run.silent_since)
    if run.status not in LAUNCHED or now - last_sign <= longest_silence:
        return None
    return FailOrphanedRun(
        run.run_id,
        f"no event from the run{' and no heartbeat from its program' if program_seen_at else ''} "
        f"since {last_sign:%Y-%m-%d %H:%M:%S} UTC: its process is gone",
    )


def run_facts(instance: dg.DagsterInstance, run_filter: dg.RunsFilter) -> list[RunFacts]:
    """The newest HISTORY runs, newest first."""
    records = instance.get_run_records(run_filter, limit=HISTORY)
    return [_facts_of(instance, record) for record in records]


def failures_in_a_row(
    runs: Sequence[RunFacts], counts: Callable[[RunFacts], bool] = lambda run: run.failed
) -> int:
    """How many of the newest runs failed one after the other; `runs` are newest first."""
    return len(list(takewhile(counts, runs)))


def pause_after(failures: int, first: dt.timedelta, longest: dt.timedelta) -> dt.timedelta:
    """The pause before the next attempt: `first`, doubled with each further failure in a row."""
    pause = min(first, longest)
    for _ in range(failures - 1):
        pause = min(2 * pause, longest)
    return pause


def retry_at(run: RunFacts, pause: dt.timedelta, now: dt.datetime) -> Wait | None:
    """Wait until the pause after an unsuccessful run is over; None when it is."""
    due = run.ended_or_created_at + pause
    reason = (
        f"run {run.short_id} ended as {run.status.value.lower()}; next try at {due:%H:%M:%S} UTC"
    )
    return Wait(reason) if due > now else None


def newest_run_id(runs: Sequence[RunFacts]) -> str:
    """A part of run keys: two ticks that see the same runs launch one run."""
    return runs[0].run_id if runs else "none"


def fail_orphaned_run(
    context: dg.SensorEvaluationContext, sensor: str, orphan: FailOrphanedRun
) -> None:
    """Report the run as failed, unless it has ended meanwhile; the event names the sensor."""
    run = context.instance.get_run_by_id(orphan.run_id)
    if run and not run.is_finished:
        message = f"{sensor}: {orphan.reason}"
        context.instance.report_run_failed(run, message=message)
        context.log.warning("reported run %s as failed: %s", orphan.run_id, orphan.reason)


@contextmanager
def log_while_running(log: logging.Logger) -> Iterator[None]:
    """Write a line once a minute.

    A run whose process is gone would hold its pool for ever; it is recognised by its silence.
    """
    is_over = threading.Event()

    def log_until_over() -> None:
        while not is_over.wait(LOG_EVERY_SECONDS):
            log.debug("at work")

    thread = threading.Thread(target=log_until_over, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def still_running(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """Why a schedule skips a tick: a slow machine must not pile up runs."""
    run_filter = dg.RunsFilter(job_name=job_name, statuses=list(ACTIVE))
    runs = instance.get_runs(run_filter, limit=1)
    return f"run {runs[0].run_id[:8]} is still going" if runs else None


def _facts_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> RunFacts:
    run = record.dagster_run
    is_active = run.status in ACTIVE
    has_ended = record.end_time and not is_active
    return RunFacts(
        run.run_id,
        run.status,
        record.create_timestamp,
        dt.datetime.fromtimestamp(record.end_time, dt.UTC)
        if record.end_time and has_ended
        else None,
        _last_event(instance, run.run_id) if is_active else None,
        NEEDS_HUMAN_TAG in run.tags,
        is_active and _launcher_is_gone(run.tags),
    )


def _launcher_is_gone(tags: Mapping[str, str]) -> bool:
    """Whether nothing listens any more on the socket of the code server that started a run."""
    address = json.loads(tags.get(GRPC_INFO_TAG, "{}")).get("socket")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(LAUNCHER_SECONDS)
        try:
            probe.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except OSError:
            return False  # it is busy
    return False


def _last_event(instance: dg.DagsterInstance, run_id: str) -> dt.datetime | None:
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return dt.datetime.fromtimestamp(records[0].timestamp, dt.UTC) if records else None
