"""Airbyte's API (Cloud, self-managed or the embedded server): tokens, repetition, and errors that say what happened and what to do.

What the workspace should contain is `batch.provision`'s business; a sync that is an asset is run by dagster-airbyte, not from here.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from polygon_assets.settings import Settings

PATIENCE_SECONDS = 30.0
# A discovery runs inside some requests: it took Airbyte up to two minutes when it had to start the connector's container first.
TIMEOUT_SECONDS = (5.0, 180.0)
PAGE_SIZE = 100
RUNNING_STATUSES = frozenset({"pending", "queued", "running", "incomplete"})

CURES = {
    401: "check AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET (Airbyte: Settings, Applications)",
    403: "the application of AIRBYTE_CLIENT_ID may not do this in workspace AIRBYTE_WORKSPACE_ID",
}
_EARLY_SECONDS = 30.0
"""A token is renewed this long before it expires, or after half its life if that is shorter."""

Json = dict[str, Any]


class AirbyteError(Exception):
    """Airbyte refused or answered what cannot be used; the message names the endpoint, the status, Airbyte's words and the cure."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirbyteUnavailableError(AirbyteError):
    """Nobody answered, or a server failed: it may pass."""


class _NeverSentError(AirbyteUnavailableError):
    """No connection was made, so that even what must not happen twice can be tried again."""


@dataclass(frozen=True)
class StreamCounts:
    """Records of one stream in one job: read from the source, and safe in the destination."""

    emitted: int
    committed: int


@dataclass(frozen=True)
class JobOutcome:
    """How a job stands or ended."""

    job_id: int
    status: str
    reason: str = ""
    """Why it failed, in the words of the connector or the destination; empty unless it failed."""
    streams: Mapping[str, StreamCounts] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.status in RUNNING_STATUSES

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    @property
    def rows(self) -> int:
        """Records of all streams that are safe in the destination."""
        return sum(counts.committed for counts in self.streams.values())


class AirbyteApi:
    """One workspace. Every method raises AirbyteError, and AirbyteUnavailableError after `patience_seconds` of trying."""

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
        self._token_ends = 0.0

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def workspace(self) -> Json:
        """The workspace itself: proof that address, credentials and id are right."""
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
        """With `**********` where the configuration has a secret."""
        return self._get(f"/sources/{source_id}")

    def create_source(self, name: str, definition_id: str, configuration: Json) -> Json:
        return self._create(
            "/sources",
            {"name": name, "definitionId": definition_id, "configuration": configuration},
        )

    def patch_source(self, source_id: str, configuration: Json) -> Json:
        """Change the fields given and leave the others."""
        return self._call("PATCH", f"/sources/{source_id}", {"configuration": configuration})

    def destinations(self) -> list[Json]:
        return list(self._pages("/destinations"))

    def create_destination(self, name: str, kind: str, configuration: Json) -> Json:
        """`kind` is Airbyte's name of the connector, such as snowflake."""
        return self._create(
            "/destinations",
            {"name": name, "configuration": {"destinationType": kind, **configuration}},
        )

    def put_destination(self, destination_id: str, name: str, configuration: Json) -> Json:
        """Replace its configuration."""
        return self._call(
            "PUT", f"/destinations/{destination_id}", {"name": name, "configuration": configuration}
        )

    def stream_properties(self, source_id: str, *, fresh: bool = False) -> Sequence[Json]:
        """What the source offers: streamName, syncModes, keys, propertyFields. `fresh` asks the connector again."""
        found: Any = self._get("/streams", sourceId=source_id, ignoreCache=str(fresh).lower())
        return list(found)

    def connections(self) -> list[Json]:
        return list(self._pages("/connections"))

    def connection_id(self, name: str) -> str:
        """Of the one connection of this name."""
        ids = {
            connection["name"]: str(connection["connectionId"]) for connection in self.connections()
        }
        if name not in ids:
            raise AirbyteError(
                f"workspace {self.workspace_id} has no connection {name!r} (there are: {', '.join(sorted(ids)) or 'none'}): "
                "create it with `polygon-assets airbyte provision`"
            )
        return ids[name]

    def connection(self, connection_id: str) -> Json:
        """In the shape of the configuration API: with the schema of each stream."""
        return self._configure("/connections/get", {"connectionId": connection_id})

    def create_connection(self, connection: Json) -> Json:
        """`connection`: name, sourceId, destinationId and the rest of Airbyte's ConnectionCreateRequest."""
        return self._call("POST", "/connections", connection, repeatable=False)

    def patch_connection(self, connection_id: str, changes: Json) -> Json:
        """Change the fields given; the connection's state stays."""
        return self._call("PATCH", f"/connections/{connection_id}", changes)

    def states(self, connection_id: str) -> dict[str, Json]:
        """How far each stream has come, in the connector's terms, by the stream's name; those never synced are missing."""
        answer = self._configure("/state/get", {"connectionId": connection_id})
        return {
            entry["streamDescriptor"]["name"]: entry["streamState"]
            for entry in answer.get("streamState") or ()
        }

    def put_states(self, connection_id: str, states: Mapping[str, Json]) -> None:
        """Replace those of the streams given; the others keep theirs. Raises AirbyteError with status 423 while a sync is running."""
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
        """The id of the new job. Raises AirbyteError with status 409 while one is running."""
        job = self._call(
            "POST", "/jobs", {"connectionId": connection_id, "jobType": "sync"}, repeatable=False
        )
        return int(job["jobId"])

    def jobs(self, connection_id: str, limit: int = PAGE_SIZE) -> list[Json]:
        """The newest first."""
        # Airbyte's own order is the oldest first.
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
        """The job as it is then. Raises AirbyteError with status 409 when it is not running."""
        return self._call("DELETE", f"/jobs/{job_id}", repeatable=False)

    def outcome(self, job_id: int) -> JobOutcome:
        """How the job stands, why it failed, and its counts per stream."""
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
        return self._patiently("GET", self._rest + path, params=query)

    def _configure(self, path: str, body: Json) -> Json:
        """The configuration API is all POST; what is asked of it here can be asked twice."""
        return self._patiently("POST", self._configuration + path, json=body)

    def _call(
        self, method: str, path: str, body: Json | None = None, *, repeatable: bool = True
    ) -> Json:
        return self._patiently(method, self._rest + path, repeatable=repeatable, json=body)

    def _patiently(self, method: str, url: str, *, repeatable: bool = True, **request: Any) -> Json:
        attempts = Retrying(
            retry=retry_if_exception_type(
                AirbyteUnavailableError if repeatable else _NeverSentError
            ),
            wait=wait_exponential_jitter(multiplier=0.2, max=5),
            stop=stop_after_delay(self._patience_seconds),
            sleep=self._sleep,
            reraise=True,
        )
        return attempts(self._authorized, method, url, **request)

    def _authorized(self, method: str, url: str, **request: Any) -> Json:
        """One request; with a new token when the server no longer knows the old one."""
        try:
            return self._once(method, url, headers=self._authorization(), **request)
        except AirbyteError as error:
            if error.status != 401:
                raise
        self._token_ends = 0.0
        return self._once(method, url, headers=self._authorization(), **request)

    def _authorization(self) -> dict[str, str]:
        now = time.monotonic()
        if now >= self._token_ends:
            answer = self._once("POST", f"{self._rest}/applications/token", json=self._credentials)
            seconds = float(answer.get("expires_in", 0))
            self._token = str(answer["access_token"])
            self._token_ends = now + max(seconds - _EARLY_SECONDS, seconds / 2)
        return {"Authorization": f"Bearer {self._token}"}

    def _once(self, method: str, url: str, **request: Any) -> Json:
        what = f"{method} {url}"
        try:
            answer = self._session.request(method, url, timeout=TIMEOUT_SECONDS, **request)
        except requests.ConnectionError as error:
            kind = _NeverSentError if _never_sent(error) else AirbyteUnavailableError
            raise kind(
                f"{what}: no answer: {error}; check AIRBYTE_API_URL and AIRBYTE_CONFIGURATION_API_URL"
            ) from error
        except requests.RequestException as error:
            raise AirbyteUnavailableError(f"{what}: {error}") from error
        if not answer.ok:
            raise _refusal(what, answer)
        return _json(what, answer)


def _json(what: str, answer: requests.Response) -> Json:
    try:
        return answer.json() if answer.content else {}
    except ValueError as error:
        message = f"{what}: not JSON: {answer.text[:100]!r}; check AIRBYTE_API_URL and AIRBYTE_CONFIGURATION_API_URL"
        raise AirbyteError(message, answer.status_code) from error


def _never_sent(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or (
        isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
    )


def _refusal(what: str, answer: requests.Response) -> AirbyteError:
    cure = CURES.get(answer.status_code)
    message = f"{what}: HTTP {answer.status_code}: {_said(answer)}" + (f"; {cure}" if cure else "")
    if answer.status_code == 429 or answer.status_code >= 500:
        return AirbyteUnavailableError(message, answer.status_code)
    return AirbyteError(message, answer.status_code)


def _said(answer: requests.Response) -> str:
    """Airbyte's own words: a problem's `data.message` is about this request, its `detail` about all of the kind."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:300] or answer.reason
    if not isinstance(problem, dict):
        return str(problem)[:300]
    data = problem.get("data")
    special = data.get("message") if isinstance(data, dict) else None
    return str(special or problem.get("detail") or problem.get("message") or problem)[:1000]


def _outcome(details: Json) -> JobOutcome:
    job, attempts = details["job"], [entry["attempt"] for entry in details["attempts"]]
    status = str(job["status"])
    return JobOutcome(
        int(job["id"]), status, _reason(attempts) if status == "failed" else "", _counts(attempts)
    )


def _reason(attempts: Sequence[Json]) -> str:
    """Of the last attempt: what each failure says, once. A connector that names streams sums them up in one more failure of no stream."""
    failures = (attempts[-1].get("failureSummary") or {}).get("failures", []) if attempts else []
    named = {
        failure.get("failureOrigin") for failure in failures if failure.get("streamDescriptor")
    }
    reasons = [
        f"{_message(failure)} ({failure.get('failureOrigin', 'unknown')})"
        for failure in failures
        if failure.get("streamDescriptor") or failure.get("failureOrigin") not in named
    ]
    return "; ".join(dict.fromkeys(reasons)) or "Airbyte gives no reason; see the job's log"


def _message(failure: Json) -> str:
    return str(
        failure.get("externalMessage")
        or failure.get("internalMessage")
        or failure.get("failureType")
        or "no message"
    )


def _counts(attempts: Sequence[Json]) -> dict[str, StreamCounts]:
    """Per stream; a later attempt goes on where an earlier one committed, so their numbers add up."""
    counts: dict[str, StreamCounts] = {}
    for stream in (stream for attempt in attempts for stream in attempt.get("streamStats") or ()):
        so_far = counts.get(stream["streamName"], StreamCounts(0, 0))
        stats = stream["stats"]
        emitted, committed = stats.get("recordsEmitted") or 0, stats.get("recordsCommitted") or 0
        counts[stream["streamName"]] = StreamCounts(
            so_far.emitted + emitted, so_far.committed + committed
        )
    return counts
