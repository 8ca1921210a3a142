"""The endpoints of jobs in the public API, which tells of a job's counts in all; the rest is in `configuration_api`."""

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
        wanted = call.lets_pass("workspaceIds", self._workspace.id) and call.lets_pass(
            "jobType", "sync"
        )
        return call.page([reply(job) for job in jobs if wanted and _is_asked_for(job, call)])

    def _start(self, call: Call) -> Json:
        request = call.read(JobRequest)
        if request.job_type != "sync":
            raise unprocessable(
                f"jobType {request.job_type!r} is not supported by this server, only 'sync'"
            )
        return reply(self._jobs.start(self._workspace.connection(request.connection_id)))


def _is_asked_for(job: Job, call: Call) -> bool:
    if not (
        call.lets_pass("connectionId", job.connection_id) and call.lets_pass("status", job.status)
    ):
        return False
    stamps = {"createdAt": job.created_at, "updatedAt": job.updated_at}
    return all(
        _moment(call, f"{name}Start", 0) <= at <= _moment(call, f"{name}End", LATEST)
        for name, at in stamps.items()
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
        # Airbyte gives it once the job has ended.
        **({"lastUpdatedAt": _iso(job.updated_at)} if job.status != RUNNING else {}),
    }


def iso_duration(seconds: int) -> str:
    """ISO 8601, as Java writes it: PT8H6M12S."""
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = [
        f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number
    ]
    return "PT" + ("".join(parts) or "0S")


def _iso(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(call: Call, name: str, default: float) -> float:
    """Raises Problem 400."""
    if not (text := call.query.get(name)):
        return default
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise bad_request(f"{name}={text!r} is no date-time: {error}") from error
