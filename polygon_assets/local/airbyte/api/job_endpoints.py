"""The endpoints of jobs in the public API, which has only a job's total counts.

Add an endpoint about jobs here; counts per stream, failures and logs belong to `configuration_api`.
"""

import datetime as dt

from msgspec import Struct

from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.api.problems import bad_request, unprocessable
from polygon_assets.local.airbyte.sync.jobs import RUNNING, Jobs
from polygon_assets.local.airbyte.workspace.objects import Job, Json
from polygon_assets.local.airbyte.workspace.workspace import Workspace

LATEST = float("inf")


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
            Endpoint(
                "GET", "/jobs/{id:int}", lambda call: reply(self._jobs.get(int(call.path["id"])))
            ),
            Endpoint(
                "DELETE",
                "/jobs/{id:int}",
                lambda call: reply(self._jobs.cancel(int(call.path["id"]))),
            ),
        ]

    def _list(self, call: Call) -> Json:
        newest_first = call.query.get("orderBy", "").endswith("|DESC")
        jobs = self._jobs.all() if newest_first else reversed(self._jobs.all())
        has_jobs = call.matches("workspaceIds", self._workspace.id) and call.matches(
            "jobType", "sync"
        )
        return call.page([reply(job) for job in jobs if has_jobs and _matches(job, call)])

    def _start(self, call: Call) -> Json:
        request = call.read(JobRequest)
        if request.job_type != "sync":
            raise unprocessable(
                f"jobType {request.job_type!r} is not supported by this server, only 'sync'"
            )
        return reply(self._jobs.start(self._workspace.connection(request.connection_id)))


def _matches(job: Job, call: Call) -> bool:
    if not (call.matches("connectionId", job.connection_id) and call.matches("status", job.status)):
        return False
    times = {"createdAt": job.created_at, "updatedAt": job.updated_at}
    return all(
        _moment(call, f"{name}Start", 0) <= time <= _moment(call, f"{name}End", LATEST)
        for name, time in times.items()
    )


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
        # Airbyte sends this field once the job has ended.
        **({"lastUpdatedAt": _iso(job.updated_at)} if job.status != RUNNING else {}),
    }


def iso_duration(seconds: int) -> str:
    """The duration in ISO 8601, as Java writes it: PT8H6M12S."""
    fields = ((seconds // 3600, "H"), (seconds // 60 % 60, "M"), (seconds % 60, "S"))
    parts = [f"{number}{unit}" for number, unit in fields if number]
    return "PT" + ("".join(parts) or "0S")


def _iso(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(call: Call, name: str, default: float) -> float:
    """A time of the query in Unix seconds. Raises Problem 400."""
    if not (text := call.query.get(name)):
        return default
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise bad_request(f"{name}={text!r} is not a date-time: {error}") from error
