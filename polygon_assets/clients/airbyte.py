"""Airbyte's API (Cloud, self-managed or the embedded server): tokens, retries and error messages.

Add an endpoint here when the project calls it; what the workspace should contain belongs to
`batch.airbyte.provision`, and running a sync to `defs.batch.airbyte_sync`.

This client exists beside the official SDK (`airbyte-api`) and dagster-airbyte's client because
those two do not read or write a connection's state, do not return a failed job's reasons or its
counts per stream (these are in Airbyte's configuration API), and do not retry a request that
was never sent.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

PATIENCE_SECONDS = 30.0
# Some requests wait for a discovery, which took up to two minutes when Airbyte had to start the
# connector's container first.
TIMEOUT_SECONDS = (5.0, 180.0)
PAGE_SIZE = 100
RUNNING_STATUSES = frozenset({"pending", "queued", "running", "incomplete"})

CHECK_ADDRESSES = "check AIRBYTE_API_URL and AIRBYTE_CONFIGURATION_API_URL"
CURES = {
    401: "check AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET (Airbyte: Settings, Applications)",
    403: "the application of AIRBYTE_CLIENT_ID may not do this in workspace AIRBYTE_WORKSPACE_ID",
}
_TOKEN_RENEWAL_SECONDS = 30.0
"""A token is renewed this long before it expires, or after half its life if that is shorter."""

Json = dict[str, Any]


class AirbyteError(PolygonAssetsError):
    """Airbyte refused a request, or its answer cannot be used.

    The message names the endpoint, the HTTP status, Airbyte's own message and the cure.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirbyteUnavailableError(AirbyteError):
    """Airbyte did not answer, or a server of its own failed; a later request may succeed."""


class _NeverSentError(AirbyteUnavailableError):
    """No connection was made, so even a request that must not happen twice can be repeated."""


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
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    @property
    def rows(self) -> int:
        """Records of all streams that are committed in the destination."""
        return sum(counts.committed for counts in self.streams.values())


class AirbyteApi:
    """One workspace of Airbyte.

    Every method raises AirbyteError, and AirbyteUnavailableError after retries for
    `patience_seconds`.
    """

    def __init__(
        self,
        settings: Settings,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.workspace_id = settings.airbyte_workspace_id
        self._rest = settings.airbyte_api_url.rstrip("/")
        self._configuration = settings.airbyte_configuration_api_url.rstrip("/")
        self._credentials = {
            "client_id": settings.airbyte_client_id,
            "client_secret": settings.airbyte_client_secret.get_secret_value(),
        }
        self._session = requests.Session()
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._token = ""
        self._token_expires = 0.0
        """When the token is renewed, on the monotonic clock."""

    def close(self) -> None:
        """Close the HTTP connections."""
        self._session.close()

    def workspace(self) -> Json:
        """The workspace itself; an answer proves that address, credentials and id are right."""
        return self._get(f"/workspaces/{self.workspace_id}")

    def definitions(self) -> list[Json]:
        """The declarative source definitions: id, name, manifest, version."""
        return list(self._get(self._definitions)["data"])

    def create_definition(self, name: str, manifest: Json) -> Json:
        return self._call("POST", self._definitions, {"name": name, "manifest": manifest})

    def update_definition(self, definition_id: str, manifest: Json) -> Json:
        """Make `manifest` the active version."""
        return self._call("PUT", f"{self._definitions}/{definition_id}", {"manifest": manifest})

    def sources(self) -> list[Json]:
        return list(self._pages("/sources"))

    def source(self, source_id: str) -> Json:
        """One source, with `**********` in place of each secret of its configuration."""
        return self._get(f"/sources/{source_id}")

    def create_source(self, name: str, definition_id: str, configuration: Json) -> Json:
        return self._create(
            "/sources",
            {"name": name, "definitionId": definition_id, "configuration": configuration},
        )

    def patch_source(self, source_id: str, configuration: Json) -> Json:
        """Change the given fields of the configuration and keep the others."""
        return self._call("PATCH", f"/sources/{source_id}", {"configuration": configuration})

    def destinations(self) -> list[Json]:
        return list(self._pages("/destinations"))

    def create_destination(self, name: str, kind: str, configuration: Json) -> Json:
        """Create a destination; `kind` is Airbyte's name of the connector, such as snowflake."""
        return self._create(
            "/destinations",
            {"name": name, "configuration": {"destinationType": kind, **configuration}},
        )

    def put_destination(self, destination_id: str, name: str, configuration: Json) -> Json:
        """Replace the name and the whole configuration of a destination."""
        return self._call(
            "PUT", f"/destinations/{destination_id}", {"name": name, "configuration": configuration}
        )

    def stream_properties(self, source_id: str, *, fresh: bool = False) -> Sequence[Json]:
        """The streams that the source offers: streamName, syncModes, keys, propertyFields.

        `fresh` makes Airbyte run the connector's discovery again instead of using its cache.
        """
        streams: Any = self._get("/streams", sourceId=source_id, ignoreCache=str(fresh).lower())
        return list(streams)

    def connections(self) -> list[Json]:
        return list(self._pages("/connections"))

    def connection_id(self, name: str) -> str:
        """The id of the connection with this name. Raises AirbyteError when there is none."""
        ids = {
            connection["name"]: str(connection["connectionId"]) for connection in self.connections()
        }
        if name not in ids:
            raise AirbyteError(
                f"workspace {self.workspace_id} has no connection {name!r} "
                f"(its connections: {', '.join(sorted(ids)) or 'none'}); "
                "create it with `polygon-assets airbyte provision`"
            )
        return ids[name]

    def connection(self, connection_id: str) -> Json:
        """One connection in the configuration API's shape, which has the schema of each stream."""
        return self._configure("/connections/get", {"connectionId": connection_id})

    def create_connection(self, connection: Json) -> Json:
        """Create a connection from a body in the shape of Airbyte's ConnectionCreateRequest."""
        return self._call("POST", "/connections", connection, repeatable=False)

    def patch_connection(self, connection_id: str, changes: Json) -> Json:
        """Change the given fields of a connection; its state stays."""
        return self._call("PATCH", f"/connections/{connection_id}", changes)

    def states(self, connection_id: str) -> dict[str, Json]:
        """The connector's state (its cursor) by stream name; streams never synced are missing."""
        answer = self._configure("/state/get", {"connectionId": connection_id})
        return {
            entry["streamDescriptor"]["name"]: entry["streamState"]
            for entry in answer.get("streamState") or ()
        }

    def put_states(self, connection_id: str, states: Mapping[str, Json]) -> None:
        """Replace the states of the given streams; other streams keep theirs.

        Raises AirbyteError with status 423 while a sync is running.
        """
        streams = [
            {"streamDescriptor": {"name": name}, "streamState": state}
            for name, state in states.items()
        ]
        state = {"connectionId": connection_id, "stateType": "stream", "streamState": streams}
        self._configure(
            "/state/create_or_update_safe",
            {"connectionId": connection_id, "connectionState": state},
        )

    def start_sync(self, connection_id: str) -> int:
        """Start a sync and return the id of its job.

        Raises AirbyteError with status 409 while another sync of the connection is running.
        """
        job = self._call(
            "POST", "/jobs", {"connectionId": connection_id, "jobType": "sync"}, repeatable=False
        )
        return int(job["jobId"])

    def jobs(self, connection_id: str, limit: int = PAGE_SIZE) -> list[Json]:
        """The last `limit` jobs of a connection, newest first."""
        # Airbyte's own order is oldest first.
        query = {
            "workspaceIds": self.workspace_id,
            "connectionId": connection_id,
            "limit": limit,
            "orderBy": "createdAt|DESC",
        }
        return list(self._get("/jobs", **query)["data"])

    def job(self, job_id: int) -> Json:
        return self._get(f"/jobs/{job_id}")

    def cancel(self, job_id: int) -> Json:
        """Cancel a job and return its new state.

        Raises AirbyteError with status 409 when the job is not running.
        """
        return self._call("DELETE", f"/jobs/{job_id}", repeatable=False)

    def outcome(self, job_id: int) -> JobOutcome:
        """A job's status, the reasons of its failure, and its counts per stream."""
        return _outcome(self._configure("/jobs/get_without_logs", {"id": job_id}))

    @property
    def _definitions(self) -> str:
        return f"/workspaces/{self.workspace_id}/definitions/declarative_sources"

    def _create(self, path: str, body: Json) -> Json:
        return self._call("POST", path, body | {"workspaceId": self.workspace_id}, repeatable=False)

    def _pages(self, path: str) -> Iterator[Json]:
        page: list[Json] = [{}] * PAGE_SIZE
        offset = 0
        while len(page) == PAGE_SIZE:
            page = self._get(path, workspaceIds=self.workspace_id, limit=PAGE_SIZE, offset=offset)[
                "data"
            ]
            offset += PAGE_SIZE
            yield from page

    def _get(self, path: str, **query: Any) -> Json:
        return self._request_with_retries("GET", self._rest + path, params=query)

    def _configure(self, path: str, body: Json) -> Json:
        """Call the configuration API: always POST, and every call of this module is repeatable."""
        return self._request_with_retries("POST", self._configuration + path, json=body)

    def _call(
        self, method: str, path: str, body: Json | None = None, *, repeatable: bool = True
    ) -> Json:
        return self._request_with_retries(
            method, self._rest + path, repeatable=repeatable, json=body
        )

    def _request_with_retries(
        self, method: str, url: str, *, repeatable: bool = True, **request: Any
    ) -> Json:
        """One call; a call that is not repeatable is retried only while it was never sent."""
        retrying = Retrying(
            retry=retry_if_exception_type(
                AirbyteUnavailableError if repeatable else _NeverSentError
            ),
            wait=wait_exponential_jitter(multiplier=0.2, max=5),
            stop=stop_after_delay(self._patience_seconds),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._authorized_request, method, url, **request)

    def _authorized_request(self, method: str, url: str, **request: Any) -> Json:
        """Send one request, and again with a new token when the server rejects the old one."""
        try:
            return self._request(method, url, headers=self._authorization(), **request)
        except AirbyteError as error:
            if error.status != 401:
                raise
        self._token_expires = 0.0
        return self._request(method, url, headers=self._authorization(), **request)

    def _authorization(self) -> dict[str, str]:
        now = time.monotonic()
        if now >= self._token_expires:
            answer = self._request(
                "POST", f"{self._rest}/applications/token", json=self._credentials
            )
            seconds = float(answer.get("expires_in", 0))
            self._token = str(answer["access_token"])
            self._token_expires = now + max(seconds - _TOKEN_RENEWAL_SECONDS, seconds / 2)
        return {"Authorization": f"Bearer {self._token}"}

    def _request(self, method: str, url: str, **request: Any) -> Json:
        endpoint = f"{method} {url}"
        try:
            answer = self._session.request(method, url, timeout=TIMEOUT_SECONDS, **request)
        except requests.ConnectionError as error:
            error_class = _NeverSentError if _never_sent(error) else AirbyteUnavailableError
            raise error_class(f"{endpoint}: no answer: {error}; {CHECK_ADDRESSES}") from error
        except requests.RequestException as error:
            raise AirbyteUnavailableError(f"{endpoint}: {error}") from error
        if not answer.ok:
            raise _refusal(endpoint, answer)
        return _json(endpoint, answer)


def _json(endpoint: str, answer: requests.Response) -> Json:
    try:
        return answer.json() if answer.content else {}
    except ValueError as error:
        raise AirbyteError(
            f"{endpoint}: not JSON: {answer.text[:100]!r}; {CHECK_ADDRESSES}", answer.status_code
        ) from error


def _never_sent(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or (
        isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
    )


def _refusal(endpoint: str, answer: requests.Response) -> AirbyteError:
    cure = CURES.get(answer.status_code)
    message = f"{endpoint}: HTTP {answer.status_code}: {_problem_message(answer)}"
    if cure:
        message += f"; {cure}"
    if answer.status_code == 429 or answer.status_code >= 500:
        return AirbyteUnavailableError(message, answer.status_code)
    return AirbyteError(message, answer.status_code)


def _problem_message(answer: requests.Response) -> str:
    """Airbyte's own message, the most specific one of its problem object.

    `data.message` is about this request; `detail` is the same for every problem of the type.
    """
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:300] or answer.reason
    if not isinstance(problem, dict):
        return str(problem)[:300]
    data = problem.get("data")
    specific = data.get("message") if isinstance(data, dict) else None
    return str(specific or problem.get("detail") or problem.get("message") or problem)[:1000]


def _outcome(details: Json) -> JobOutcome:
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
