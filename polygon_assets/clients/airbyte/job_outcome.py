"""The state or result of a sync's job, read from the configuration API's details of the job.

Add here what else a job's answer tells; the request belongs to `api`, and what follows from a
result to `defs.batch.airbyte_sync`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.clients.airbyte.transport import Json

RUNNING_STATUSES = frozenset({"pending", "queued", "running", "incomplete"})


@dataclass(frozen=True)
class StreamCounts:
    """Records of one stream in one job: read from the source, and committed in the destination."""

    emitted: int
    committed: int


@dataclass(frozen=True)
class JobOutcome:
    """The state of a running job, or the result of a finished one."""

    job_id: int
    status: str
    reason: str = ""
    """The failure messages of the connector or the destination; empty unless the job failed."""
    streams: Mapping[str, StreamCounts] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.status in RUNNING_STATUSES

    @property
    def rows(self) -> int:
        """Records of all streams that are committed in the destination."""
        return sum(counts.committed for counts in self.streams.values())


def job_outcome(details: Json) -> JobOutcome:
    """Read the answer of `/jobs/get_without_logs`."""
    job, attempts = details["job"], [entry["attempt"] for entry in details["attempts"]]
    status = str(job["status"])
    return JobOutcome(
        int(job["id"]), status, _reason(attempts) if status == "failed" else "", _counts(attempts)
    )


def _reason(attempts: Sequence[Json]) -> str:
    """The distinct failure messages of the last attempt, each with its origin.

    A connector that reports failures of single streams adds one that sums them up and names no
    stream; that one is left out.
    """
    failures = (attempts[-1].get("failureSummary") or {}).get("failures", []) if attempts else []
    origins_with_streams = {
        failure.get("failureOrigin") for failure in failures if failure.get("streamDescriptor")
    }
    reasons = [
        f"{_message(failure)} ({failure.get('failureOrigin', 'unknown')})"
        for failure in failures
        if failure.get("streamDescriptor")
        or failure.get("failureOrigin") not in origins_with_streams
    ]
    return (
        "; ".join(dict.fromkeys(reasons))
        or "Airbyte gives no reason; read the job's log in Airbyte"
    )


def _message(failure: Json) -> str:
    return str(
        failure.get("externalMessage")
        or failure.get("internalMessage")
        or failure.get("failureType")
        or "no message"
    )


def _counts(attempts: Sequence[Json]) -> dict[str, StreamCounts]:
    """The counts of each stream over all attempts of a job.

    A later attempt continues where an earlier one committed, so the numbers are added up.
    """
    counts: dict[str, StreamCounts] = {}
    for stream in (stream for attempt in attempts for stream in attempt.get("streamStats") or ()):
        so_far = counts.get(stream["streamName"], StreamCounts(0, 0))
        stats = stream["stats"]
        emitted, committed = stats.get("recordsEmitted") or 0, stats.get("recordsCommitted") or 0
        counts[stream["streamName"]] = StreamCounts(
            so_far.emitted + emitted, so_far.committed + committed
        )
    return counts
