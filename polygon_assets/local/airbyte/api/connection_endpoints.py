"""The endpoints of connections and of a source's streams.

Add an endpoint about connections here; checking a choice of streams belongs to `workspace.catalog`.
"""

import uuid

import msgspec
from msgspec import Struct, field

from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.api.problems import bad_request, unprocessable
from polygon_assets.local.airbyte.sync.jobs import Jobs
from polygon_assets.local.airbyte.workspace import catalog
from polygon_assets.local.airbyte.workspace.catalog import StreamChoice
from polygon_assets.local.airbyte.workspace.objects import ConfiguredStream, Connection, Json
from polygon_assets.local.airbyte.workspace.workspace import Workspace


class StreamChoices(Struct):
    streams: list[StreamChoice] = field(default_factory=list)


class Schedule(Struct, rename="camel"):
    schedule_type: str


class ConnectionRequest(Struct, rename="camel"):
    """A request to create a connection or to change one."""

    source_id: str = ""
    destination_id: str = ""
    name: str | None = None
    configurations: StreamChoices = field(default_factory=StreamChoices)
    schedule: Schedule | None = None
    namespace_definition: str | None = None
    namespace_format: str | None = None
    prefix: str | None = None
    non_breaking_schema_updates_behavior: str | None = None
    status: str | None = None

    def applied_to(self, connection: Connection) -> Connection:
        """The connection with the request's fields, except the streams. Raises Problem 422."""
        if self.schedule and self.schedule.schedule_type != connection.schedule_type:
            raise unprocessable(
                "this server starts syncs on request only: scheduleType must be "
                f"{connection.schedule_type!r}"
            )
        names = (
            "name",
            "namespace_definition",
            "namespace_format",
            "prefix",
            "non_breaking_schema_updates_behavior",
            "status",
        )
        return msgspec.structs.replace(
            connection,
            **{name: value for name in names if (value := getattr(self, name)) is not None},
        )


class ConnectionEndpoints:
    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self._workspace = workspace
        self._jobs = jobs

    def endpoints(self) -> list[Endpoint]:
        workspace = self._workspace
        return [
            Endpoint("GET", "/streams", self._list_streams),
            Endpoint(
                "GET",
                "/connections",
                lambda call: call.page(
                    [self._reply(connection) for connection in self._filtered(call)]
                ),
            ),
            Endpoint("POST", "/connections", self._create),
            Endpoint(
                "GET",
                "/connections/{id}",
                lambda call: self._reply(workspace.connection(call.path["id"])),
            ),
            Endpoint("PATCH", "/connections/{id}", self._patch),
            Endpoint(
                "DELETE",
                "/connections/{id}",
                lambda call: workspace.delete_connection(call.path["id"]),
            ),
        ]

    def _list_streams(self, call: Call) -> list[Json]:
        if "sourceId" not in call.query:
            raise bad_request("sourceId is missing")
        fresh = call.query.get("ignoreCache") == "true"
        return [
            _properties(stream)
            for stream in self._workspace.discovered(
                call.query["sourceId"], int(call.now), fresh=fresh
            )
        ]

    def _filtered(self, call: Call) -> list[Connection]:
        in_workspace = call.matches("workspaceIds", self._workspace.id)
        return [
            connection
            for connection in self._workspace.connections()
            if in_workspace and call.matches("status", connection.status)
        ]

    def _create(self, call: Call) -> Json:
        request = call.read(ConnectionRequest)
        source = self._workspace.sources.get(request.source_id)
        destination = self._workspace.destinations.get(request.destination_id)
        connection = Connection(
            id=str(uuid.uuid4()),
            name=f"{source.name} → {destination.name}",
            source_id=source.id,
            destination_id=destination.id,
            streams=self._workspace.configured(
                source.id, request.configurations.streams, int(call.now)
            ),
            created_at=int(call.now),
        )
        return self._reply(self._workspace.put_connection(request.applied_to(connection)))

    def _patch(self, call: Call) -> Json:
        request = call.read(ConnectionRequest)
        connection = request.applied_to(self._workspace.connection(call.path["id"]))
        if choices := request.configurations.streams:
            streams = self._workspace.configured(connection.source_id, choices, int(call.now))
            # Airbyte deletes these states too; those of the other streams stay.
            if gone := catalog.streams_without_state(connection.streams, streams):
                self._jobs.delete_states(connection.id, gone)
            connection = msgspec.structs.replace(connection, streams=streams)
        return self._reply(self._workspace.put_connection(connection))

    def _reply(self, connection: Connection) -> Json:
        return {
            "connectionId": connection.id,
            "name": connection.name,
            "sourceId": connection.source_id,
            "destinationId": connection.destination_id,
            "workspaceId": self._workspace.id,
            "status": connection.status,
            "schedule": {"scheduleType": connection.schedule_type},
            "nonBreakingSchemaUpdatesBehavior": connection.non_breaking_schema_updates_behavior,
            "namespaceDefinition": connection.namespace_definition,
            "namespaceFormat": connection.namespace_format,
            "prefix": connection.prefix,
            "configurations": {"streams": [_stream_reply(stream) for stream in connection.streams]},
            "createdAt": connection.created_at,
            "tags": [],
        }


def _stream_reply(stream: ConfiguredStream) -> Json:
    return {
        "name": stream.name,
        "syncMode": catalog.combined_sync_mode(stream),
        "cursorField": stream.cursor_field,
        "primaryKey": stream.primary_key,
    }


def _properties(stream: Json) -> Json:
    return {
        "streamName": stream["name"],
        "syncModes": catalog.valid_sync_modes(stream),
        "defaultCursorField": stream.get("default_cursor_field") or [],
        "sourceDefinedCursorField": bool(stream.get("source_defined_cursor")),
        "sourceDefinedPrimaryKey": stream.get("source_defined_primary_key") or [],
        "propertyFields": [[name] for name in stream["json_schema"]["properties"]],
    }
