"""Starts, cancels and stores jobs, and stores their states: one job at a time per connection.

Add rules about jobs here; executing a job belongs to `run`, the APIs' requests belong to `api`.
"""

import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from polygon_assets.local.airbyte.api.problems import (
    not_found,
    state_conflict,
    sync_is_running,
    try_again_later,
)
from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.sync.run import Plan, Run, failure
from polygon_assets.local.airbyte.workspace.documents import Documents
from polygon_assets.local.airbyte.workspace.objects import Connection, Failure, Job, Json, States
from polygon_assets.local.airbyte.workspace.workspace import Workspace

RUNNING = "running"
SERVER_STOPPED = "the server was stopped"
# Below the 15 s that dagster-airbyte waits for an answer.
_CANCEL_SECONDS = 10.0


class Jobs:
    """All jobs of the workspace; jobs that ran when an earlier server stopped are marked failed."""

    def __init__(
        self, path: Path, workspace: Workspace, clock: Callable[[], float] = time.time
    ) -> None:
        self._workspace = workspace
        self._clock = clock
        self._logs = path / "logs"
        self._work = path / "work"
        shutil.rmtree(self._work, ignore_errors=True)
        self._jobs = Documents(path / "jobs", Job)
        self._states = Documents(path / "states", States)
        self._running_jobs: dict[int, tuple[Run, threading.Thread]] = {}
        self._starting = threading.Lock()
        for job in self._jobs.all():
            if job.status == RUNNING:
                self._end(job, "failed", [failure("airbyte_platform", SERVER_STOPPED)])

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        return sorted(self._jobs.all(), key=lambda job: job.id, reverse=True)

    def get(self, job_id: int) -> Job:
        """The job with this id. Raises Problem 404."""
        job = self._jobs.get(str(job_id))
        if not job:
            raise not_found("job", job_id)
        return job

    def log_lines(self, job_id: int, count: int) -> list[str]:
        """The last lines of a job's log."""
        path = self._log(job_id)
        return path.read_text(errors="replace").splitlines()[-count:] if path.exists() else []

    def start(self, connection: Connection) -> Job:
        """Start a sync in a new thread.

        Raises Problem 409 when the connection is not active or a job runs for it.
        """
        if connection.status != "active":
            raise state_conflict(
                f"connection {connection.name} is {connection.status}: set its status to active "
                "first"
            )
        with self._starting:
            if running := self._running(connection.id):
                raise try_again_later(
                    f"A sync is already running for: {connection.id} (job {running.id})"
                )
            now = int(self._clock())
            job_id = 1 + max((job.id for job in self._jobs.all()), default=0)
            job = Job(
                id=job_id,
                connection_id=connection.id,
                status=RUNNING,
                created_at=now,
                updated_at=now,
            )
            run = self._run(job, connection)
            thread = threading.Thread(
                target=self._execute, args=(job, run), name=f"job-{job_id}", daemon=True
            )
            self._running_jobs[job_id] = run, thread
            self._store(job)
            thread.start()
        return job

    def cancel(self, job_id: int) -> Job:
        """Stop the connector and wait up to 10 s for the job's end.

        Raises Problem 404 for an unknown job, and 409 for a job that is not running.
        """
        with self._starting:
            run, thread = self._running_jobs.get(self.get(job_id).id, (None, None))
        if not run or not thread:
            raise state_conflict("Job is not currently running")
        run.cancel()
        thread.join(_CANCEL_SECONDS)
        return self.get(job_id)

    def states(self, connection_id: str) -> Mapping[str, Json]:
        """By stream, the last state message whose records are committed in the destination."""
        stored = self._states.get(connection_id)
        return stored.streams if stored else {}

    def put_states(self, connection_id: str, changed: Mapping[str, Json]) -> None:
        """Replace the states of these streams. Raises Problem 423 while a sync is running."""
        with self._starting:
            if self._running(connection_id):
                raise sync_is_running()
            self._store_states(connection_id, changed)

    def delete_states(self, connection_id: str, streams: Collection[str]) -> None:
        """Forget the states of these streams: their next sync reads everything."""
        kept = {
            name: state for name, state in self.states(connection_id).items() if name not in streams
        }
        self._states.put(connection_id, States(streams=kept, created_at=int(self._clock())))

    def _running(self, connection_id: str) -> Job | None:
        return next(
            (
                job
                for job in self._jobs.all()
                if job.connection_id == connection_id and job.status == RUNNING
            ),
            None,
        )

    def _run(self, job: Job, connection: Connection) -> Run:
        definition, source, destination = self._workspace.parts(connection)
        plan = Plan(
            job_id=job.id,
            connection=connection,
            manifest=definition.manifest,
            source=source.configuration,
            destination=destination.configuration,
            schema=self._workspace.schema(connection),
            states=self.states(connection.id),
        )

        def store_state(stream: str, state: Json) -> None:
            self._store_states(connection.id, {stream: state})
            self._store(
                msgspec.structs.replace(job, streams=run.stats, updated_at=int(self._clock()))
            )

        run = Run(plan, store_state, self._work / str(job.id))
        return run

    def _execute(self, job: Job, run: Run) -> None:
        with JobLog(self._log(job.id)) as log:
            failures = run.execute(log)
            status = "cancelled" if run.cancelled else "failed" if failures else "succeeded"
            log.write("platform", "INFO", f"job {job.id} {status}")
        self._end(msgspec.structs.replace(job, streams=run.stats), status, failures)
        del self._running_jobs[job.id]

    def _store_states(self, connection_id: str, changed: Mapping[str, Json]) -> None:
        streams = {**self.states(connection_id), **changed}
        self._states.put(connection_id, States(streams=streams, created_at=int(self._clock())))

    def _store(self, job: Job) -> Job:
        return self._jobs.put(str(job.id), job)

    def _end(self, job: Job, status: str, failures: list[Failure]) -> None:
        self._store(
            msgspec.structs.replace(
                job, status=status, failures=failures, updated_at=int(self._clock())
            )
        )

    def _log(self, job_id: int) -> Path:
        return self._logs / f"{job_id}.log"
