"""Airbyte's configuration API: catalogs, states, attempts and logs, which the public API lacks.

dagster-airbyte and `clients.airbyte` read them. Add POST endpoints of this API here; the documented
endpoints belong to `public_api`.
"""

from msgspec import Struct

from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.sync.jobs import RUNNING, Jobs
from polygon_assets.local.airbyte.sync.protocol import StreamDescriptor
from polygon_assets.local.airbyte.workspace.objects import (
    ConfiguredStream,
    Failure,
    Job,
    Json,
    StreamStats,
)
from polygon_assets.local.airbyte.workspace.workspace import Workspace

ROOT = "/api/v1"
_LOG_LINES = 1000


class ConnectionId(Struct, rename="camel"):
    connection_id: str


class JobId(Struct):
    id: int


class StreamState(Struct, rename="camel"):
    stream_descriptor: StreamDescriptor
    stream_state: Json


class ConnectionState(Struct, rename="camel"):
    stream_state: list[StreamState]


class StateUpdate(Struct, rename="camel"):
    connection_id: str
    connection_state: ConnectionState


class ConfigurationApi:
    """The endpoints under ROOT."""

    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self._workspace = workspace
        self._jobs = jobs

    def endpoints(self) -> list[Endpoint]:
        endpoints = [
            Endpoint("GET", "/health", lambda _: {"available": True}, public=True),
            Endpoint("POST", "/connections/get", self._get_connection),
            Endpoint("POST", "/state/get", self._get_state),
            Endpoint("POST", "/state/create_or_update_safe", self._update_state),
            Endpoint("POST", "/jobs/get", self._get_job),
            Endpoint("POST", "/jobs/get_without_logs", self._get_job_without_logs),
        ]
        return [endpoint.under(ROOT) for endpoint in endpoints]

    def _get_connection(self, call: Call) -> Json:
        connection = self._workspace.connection(call.read(ConnectionId).connection_id)
        return {
            "connectionId": connection.id,
            "name": connection.name,
            "namespaceDefinition": connection.namespace_definition.replace("_", ""),
            "namespaceFormat": connection.namespace_format,
            "prefix": connection.prefix,
            "sourceId": connection.source_id,
            "destinationId": connection.destination_id,
            "workspaceId": self._workspace.id,
            "syncCatalog": {"streams": [_stream(stream) for stream in connection.streams]},
            "scheduleType": connection.schedule_type,
            "status": connection.status,
            "breakingChange": False,
        }

    def _get_state(self, call: Call) -> Json:
        return self._state(self._workspace.connection(call.read(ConnectionId).connection_id).id)

    def _update_state(self, call: Call) -> Json:
        request = call.read(StateUpdate)
        connection = self._workspace.connection(request.connection_id)
        self._jobs.put_states(
            connection.id,
            {
                state.stream_descriptor.name: _message(state)
                for state in request.connection_state.stream_state
            },
        )
        return self._state(connection.id)

    def _state(self, connection_id: str) -> Json:
        streams = [
            {"streamDescriptor": {"name": name}, "streamState": message["stream"]["stream_state"]}
            for name, message in self._jobs.states(connection_id).items()
        ]
        return {
            "connectionId": connection_id,
            **(
                {"stateType": "stream", "streamState": streams}
                if streams
                else {"stateType": "not_set"}
            ),
        }

    def _get_job_without_logs(self, call: Call) -> Json:
        job = self._jobs.get(call.read(JobId).id)
        return {"job": _job(job), "attempts": [{"attempt": _attempt(job)}]}

    def _get_job(self, call: Call) -> Json:
        job = self._jobs.get(call.read(JobId).id)
        logs = {"logLines": self._jobs.log_lines(job.id, _LOG_LINES)}
        return {
            "job": _job(job),
            "attempts": [{"attempt": _attempt(job), "logType": "formatted", "logs": logs}],
        }


def _message(state: StreamState) -> Json:
    """The state as a message of the Airbyte protocol."""
    stream = {
        "stream_descriptor": {"name": state.stream_descriptor.name},
        "stream_state": state.stream_state,
    }
    return {"type": "STREAM", "stream": stream}


def _stream(configured: ConfiguredStream) -> Json:
    stream = configured.stream
    return {
        "stream": {
            "name": configured.name,
            "jsonSchema": stream["json_schema"],
            "supportedSyncModes": stream["supported_sync_modes"],
            "sourceDefinedCursor": bool(stream.get("source_defined_cursor")),
            "defaultCursorField": stream.get("default_cursor_field") or [],
            "sourceDefinedPrimaryKey": stream.get("source_defined_primary_key") or [],
        },
        "config": {
            "syncMode": configured.sync_mode,
            "destinationSyncMode": configured.destination_sync_mode,
            "cursorField": configured.cursor_field,
            "primaryKey": configured.primary_key,
            "aliasName": configured.name,
            "selected": True,
            "fieldSelectionEnabled": False,
            "selectedFields": [],
            "mappers": [],
        },
    }


def _job(job: Job) -> Json:
    return {
        "id": job.id,
        "configType": "sync",
        "configId": job.connection_id,
        "createdAt": job.created_at,
        "updatedAt": job.updated_at,
        "startedAt": job.created_at,
        "status": job.status,
        "enabledStreams": [{"name": stats.name} for stats in job.streams],
    }


def _attempt(job: Job) -> Json:
    """The job's only attempt: this server never retries, its caller starts the next sync."""
    ended = {} if job.status == RUNNING else {"endedAt": job.updated_at}
    totals = {
        name: sum(part[name] for part in map(_stats, job.streams))
        for name in _stats(StreamStats(name=""))
    }
    return {
        "id": 0,
        "status": "failed" if job.status == "cancelled" else job.status,
        "createdAt": job.created_at,
        "updatedAt": job.updated_at,
        **ended,
        "bytesSynced": totals["bytesCommitted"],
        "recordsSynced": totals["recordsCommitted"],
        "totalStats": totals,
        "streamStats": [
            {"streamName": stats.name, "stats": _stats(stats)} for stats in job.streams
        ],
        **(
            {"failureSummary": _failure_summary(job, totals["recordsCommitted"])}
            if job.failures
            else {}
        ),
    }


def _stats(stats: StreamStats) -> dict[str, int]:
    return {
        "recordsEmitted": stats.records_emitted,
        "bytesEmitted": stats.bytes_emitted,
        "stateMessagesEmitted": stats.states_emitted,
        "recordsCommitted": stats.records_committed,
        "bytesCommitted": stats.bytes_committed,
    }


def _failure_summary(job: Job, records_committed: int) -> Json:
    return {
        "failures": [_failure(failure) for failure in job.failures],
        "partialSuccess": records_committed > 0,
    }


def _failure(failure: Failure) -> Json:
    return {
        "failureOrigin": failure.origin,
        "failureType": failure.kind,
        "externalMessage": failure.message,
        "internalMessage": failure.details,
        "timestamp": failure.timestamp_ms,
        "fromTraceMessage": failure.from_trace,
        **({"streamDescriptor": {"name": failure.stream}} if failure.stream else {}),
    }
