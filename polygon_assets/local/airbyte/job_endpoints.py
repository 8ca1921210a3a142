"""The endpoints of jobs in the public API, which tells of a job's counts in all; the rest is in `configuration_api`."""

import datetime as dt

from msgspec import Struct

from polygon_assets.local.airbyte.http import Call, Endpoint
from polygon_assets.local.airbyte.jobs import RUNNING, Jobs
from polygon_assets.local.airbyte.objects import Job, Json
from polygon_assets.local.airbyte.problems import bad_request, unprocessable
from polygon_assets.local.airbyte.workspace import Workspace


class JobRequest(Struct, rename="camel"):
    connection_id: str
    job_type: str


class JobEndpoints:
    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self._workspace = workspace
        self._jobs = jobs

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/jobs", self._list),
            Endpoint("POST", "/jobs", self._start),
            Endpoint("GET", "/jobs/{id:int}", lambda call: reply(self._jobs.get(int(call.path["id"])))),
            Endpoint("DELETE", "/jobs/{id:int}", lambda call: reply(self._jobs.cancel(int(call.path["id"])))),
        ]

    def _list(self, call: Call) -> Json:
        start = _moment(call.query.get("createdAtStart", "1970-01-01T00:00:00Z"))
        connection, status = call.query.get("connectionId"), call.query.get("status")
        newest_first = call.query.get("orderBy", "").endswith("|DESC")
        jobs = [
            job
            for job in (self._jobs.all() if newest_first else reversed(self._jobs.all()))
            if job.created_at >= start and connection in (None, job.connection_id) and status in (None, job.status)
        ]
        return call.page([reply(job) for job in jobs])

    def _start(self, call: Call) -> Json:
        request = call.read(JobRequest)
        if request.job_type != "sync":
            raise unprocessable(f"jobType {request.job_type!r} is not supported by this server, only 'sync'")
        return reply(self._jobs.start(self._workspace.connection(request.connection_id)))


def reply(job: Job) -> Json:
    """Airbyte's JobResponse."""
    return {
        "jobId": job.id,
        "status": job.status,
        "jobType": "sync",
        "startTime": _iso(job.created_at),
        "connectionId": job.connection_id,
        "duration": iso_duration(job.updated_at - job.created_at),
        "bytesSynced": sum(stats.bytes_committed for stats in job.streams),
        "rowsSynced": sum(stats.records_committed for stats in job.streams),
        # Airbyte gives it once the job has ended.
        **({"lastUpdatedAt": _iso(job.updated_at)} if job.status != RUNNING else {}),
    }


def iso_duration(seconds: int) -> str:
    """ISO 8601, as Java writes it: PT8H6M12S."""
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = [f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number]
    return "PT" + ("".join(parts) or "0S")


def _iso(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> float:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise bad_request(f"createdAtStart={text!r} is no date-time: {error}") from error
