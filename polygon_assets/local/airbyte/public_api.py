"""Airbyte's API (https://reference.airbyte.com): what dagster-airbyte and `clients.airbyte` use of it, in its shapes.

Decisions are made in `workspace` and `jobs`.
"""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from polygon_assets.local.airbyte import catalog, destination
from polygon_assets.local.airbyte.actors import Actors
from polygon_assets.local.airbyte.catalog import StreamChoice
from polygon_assets.local.airbyte.http import Call, Endpoint
from polygon_assets.local.airbyte.jobs import RUNNING, Jobs
from polygon_assets.local.airbyte.objects import Actor, ConfiguredStream, Connection, Definition, Job, Json
from polygon_assets.local.airbyte.problems import bad_request, not_found, unprocessable
from polygon_assets.local.airbyte.tokens import LIFETIME_SECONDS, Tokens
from polygon_assets.local.airbyte.workspace import Workspace

ROOT = "/api/public/v1"


class TokenRequest(Struct):
    client_id: str
    client_secret: str


class DefinitionRequest(Struct):
    manifest: Json
    name: str = "custom"


class ActorRequest(Struct, rename="camel"):
    """To create or replace a source or a destination, or, with less in it, to change one."""

    name: str | None = None
    workspace_id: str | None = None
    definition_id: str | None = None
    configuration: Json = field(default_factory=dict)


class StreamChoices(Struct):
    streams: list[StreamChoice] = field(default_factory=list)


class Schedule(Struct, rename="camel"):
    schedule_type: str


class ConnectionRequest(Struct, rename="camel"):
    """To create a connection or to change one."""

    source_id: str | None = None
    destination_id: str | None = None
    name: str | None = None
    configurations: StreamChoices | None = None
    schedule: Schedule | None = None
    namespace_definition: str | None = None
    namespace_format: str | None = None
    prefix: str | None = None
    non_breaking_schema_updates_behavior: str | None = None
    status: str | None = None


class JobRequest(Struct, rename="camel"):
    connection_id: str
    job_type: str


class PublicApi:
    """The endpoints under /api/public/v1."""

    def __init__(self, workspace: Workspace, jobs: Jobs, tokens: Tokens) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._tokens = tokens

    def endpoints(self) -> list[Endpoint]:
        definitions = "/workspaces/{workspace}/definitions/declarative_sources"
        routes: list[tuple[str, str, Callable[[Call], Any]]] = [
            ("GET", "/workspaces", lambda call: call.page([self._workspace_reply()])),
            ("GET", "/workspaces/{workspace}", self._get_workspace),
            ("GET", definitions, self._list_definitions),
            ("POST", definitions, self._create_definition),
            ("GET", definitions + "/{id}", self._get_definition),
            ("PUT", definitions + "/{id}", self._update_definition),
            ("DELETE", definitions + "/{id}", self._delete_definition),
            *self._actor_routes("/sources", self._workspace.sources, self._create_source, self._workspace.delete_source),
            *self._actor_routes(
                "/destinations", self._workspace.destinations, self._create_destination, self._workspace.delete_destination
            ),
            ("GET", "/streams", self._list_streams),
            ("GET", "/connections", lambda call: call.page([self._connection_reply(one) for one in self._workspace.connections()])),
            ("POST", "/connections", self._create_connection),
            ("GET", "/connections/{id}", lambda call: self._connection_reply(self._workspace.connection(call.path["id"]))),
            ("PATCH", "/connections/{id}", self._patch_connection),
            ("DELETE", "/connections/{id}", lambda call: self._workspace.delete_connection(call.path["id"])),
            ("GET", "/jobs", self._list_jobs),
            ("POST", "/jobs", self._start_job),
            ("GET", "/jobs/{id:int}", lambda call: job_reply(self._jobs.get(int(call.path["id"])))),
            ("DELETE", "/jobs/{id:int}", lambda call: job_reply(self._jobs.cancel(int(call.path["id"])))),
        ]
        return [
            Endpoint("GET", ROOT + "/health", lambda _: "Successful operation", public=True),
            Endpoint("POST", ROOT + "/applications/token", self._issue_token, public=True),
            *(Endpoint(method, ROOT + path, handle) for method, path, handle in routes),
        ]

    def _issue_token(self, call: Call) -> Json:
        request = call.read(TokenRequest)
        token = self._tokens.issue(request.client_id, request.client_secret, call.now)
        return {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}

    def _workspace_reply(self) -> Json:
        return {"workspaceId": self._workspace.id, "name": "local", "dataResidency": "local", "notifications": {}}

    def _get_workspace(self, call: Call) -> Json:
        self._check_workspace(call.path["workspace"])
        return self._workspace_reply()

    def _check_workspace(self, identifier: str | None) -> None:
        if identifier != self._workspace.id:
            raise not_found("workspace", identifier)

    def _list_definitions(self, call: Call) -> Json:
        self._check_workspace(call.path["workspace"])
        return {"data": [_definition_reply(definition) for definition in self._workspace.definitions()]}

    def _create_definition(self, call: Call) -> Json:
        self._check_workspace(call.path["workspace"])
        request = call.read(DefinitionRequest)
        return _definition_reply(self._workspace.define(request.name, request.manifest, int(call.now)))

    def _get_definition(self, call: Call) -> Json:
        return _definition_reply(self._workspace.definition(call.path["id"]))

    def _update_definition(self, call: Call) -> Json:
        return _definition_reply(self._workspace.redefine(call.path["id"], call.read(DefinitionRequest).manifest))

    def _delete_definition(self, call: Call) -> Json:
        return _definition_reply(self._workspace.delete_definition(call.path["id"]))

    def _actor_routes(
        self, path: str, actors: Actors, create: Callable[[Call], Actor], delete: Callable[[str], None]
    ) -> list[tuple[str, str, Callable[[Call], Any]]]:
        def reply(actor: Actor) -> Json:
            return self._actor_reply(actors, actor)

        def patch(call: Call) -> Json:
            request = call.read(ActorRequest)
            return reply(actors.patch(call.path["id"], request.name, _without_type(request.configuration)))

        def put(call: Call) -> Json:
            request = call.read(ActorRequest)
            if not request.name:
                raise unprocessable("request body: name is missing")
            return reply(actors.put(call.path["id"], request.name, _without_type(request.configuration)))

        return [
            ("GET", path, lambda call: call.page([reply(actor) for actor in actors.all()])),
            ("POST", path, lambda call: reply(create(call))),
            ("GET", path + "/{id}", lambda call: reply(actors.get(call.path["id"]))),
            ("PATCH", path + "/{id}", patch),
            ("PUT", path + "/{id}", put),
            ("DELETE", path + "/{id}", lambda call: delete(call.path["id"])),
        ]

    def _create_source(self, call: Call) -> Actor:
        request = self._actor_request(call)
        if not request.definition_id:
            raise unprocessable("definitionId is missing: this server has custom connectors only")
        return self._workspace.sources.create(str(request.name), request.definition_id, _without_type(request.configuration), int(call.now))

    def _create_destination(self, call: Call) -> Actor:
        request = self._actor_request(call)
        if request.configuration.get("destinationType") != destination.KIND and request.definition_id != destination.DEFINITION_ID:
            raise unprocessable(f"this server has one destination: give destinationType {destination.KIND!r} in the configuration")
        content = _without_type(request.configuration)
        return self._workspace.destinations.create(str(request.name), destination.DEFINITION_ID, content, int(call.now))

    def _actor_request(self, call: Call) -> ActorRequest:
        request = call.read(ActorRequest)
        self._check_workspace(request.workspace_id)
        if not request.name:
            raise unprocessable("request body: name is missing")
        return request

    def _actor_reply(self, actors: Actors, actor: Actor) -> Json:
        return {
            f"{actors.kind}Id": actor.id,
            "name": actor.name,
            # A custom connector has no type.
            f"{actors.kind}Type": destination.KIND if actors.kind == "destination" else "",
            "definitionId": actor.definition_id,
            "workspaceId": self._workspace.id,
            "configuration": actors.masked(actor),
            "createdAt": actor.created_at,
        }

    def _list_streams(self, call: Call) -> list[Json]:
        if "sourceId" not in call.query:
            raise bad_request("sourceId is missing")
        fresh = call.query.get("ignoreCache") == "true"
        return [_stream_properties(stream) for stream in self._workspace.discovered(call.query["sourceId"], int(call.now), fresh=fresh)]

    def _create_connection(self, call: Call) -> Json:
        request = call.read(ConnectionRequest)
        source = self._workspace.sources.get(str(request.source_id))
        target = self._workspace.destinations.get(str(request.destination_id))
        choices = request.configurations.streams if request.configurations else []
        connection = Connection(
            id=str(uuid.uuid4()),
            name=request.name or f"{source.name} → {target.name}",
            source_id=source.id,
            destination_id=target.id,
            streams=self._workspace.configured(source.id, choices, int(call.now)),
            created_at=int(call.now),
        )
        return self._connection_reply(self._workspace.keep_connection(_changed(connection, request)))

    def _patch_connection(self, call: Call) -> Json:
        request = call.read(ConnectionRequest)
        connection = _changed(self._workspace.connection(call.path["id"]), request)
        if request.configurations and request.configurations.streams:
            streams = self._workspace.configured(connection.source_id, request.configurations.streams, int(call.now))
            connection = msgspec.structs.replace(connection, streams=streams)
        return self._connection_reply(self._workspace.keep_connection(connection))

    def _connection_reply(self, connection: Connection) -> Json:
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

    def _list_jobs(self, call: Call) -> Json:
        jobs = self._jobs.all()
        if "connectionId" in call.query:
            jobs = [job for job in jobs if job.connection_id == call.query["connectionId"]]
        if "status" in call.query:
            jobs = [job for job in jobs if job.status == call.query["status"]]
        if "createdAtStart" in call.query:
            start = _moment(call.query["createdAtStart"])
            jobs = [job for job in jobs if job.created_at >= start]
        return call.page([job_reply(job) for job in jobs])

    def _start_job(self, call: Call) -> Json:
        request = call.read(JobRequest)
        if request.job_type != "sync":
            raise unprocessable(f"jobType {request.job_type!r} is not supported by this server, only 'sync'")
        return job_reply(self._jobs.start(self._workspace.connection(request.connection_id)))


def job_reply(job: Job) -> Json:
    """Airbyte's JobResponse."""
    ended = {} if job.status == RUNNING else {"lastUpdatedAt": _iso(job.updated_at)}
    return {
        "jobId": job.id,
        "status": job.status,
        "jobType": "sync",
        "startTime": _iso(job.created_at),
        "connectionId": job.connection_id,
        "duration": iso_duration(job.updated_at - job.created_at),
        "bytesSynced": sum(stats.bytes_committed for stats in job.streams),
        "rowsSynced": sum(stats.records_committed for stats in job.streams),
        **ended,
    }


def iso_duration(seconds: int) -> str:
    """ISO 8601, as Java writes it: PT8H6M12S."""
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = [f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number]
    return "PT" + ("".join(parts) or "0S")


def _definition_reply(definition: Definition) -> Json:
    return {"id": definition.id, "name": definition.name, "manifest": definition.manifest, "version": definition.version}


def _stream_properties(stream: Json) -> Json:
    return {
        "streamName": stream["name"],
        "syncModes": catalog.valid_sync_modes(stream),
        "defaultCursorField": stream.get("default_cursor_field") or [],
        "sourceDefinedCursorField": bool(stream.get("source_defined_cursor")),
        "sourceDefinedPrimaryKey": stream.get("source_defined_primary_key") or [],
        "propertyFields": [[name] for name in stream["json_schema"]["properties"]],
    }


def _stream_reply(stream: ConfiguredStream) -> Json:
    return {
        "name": stream.name,
        "syncMode": catalog.combined_sync_mode(stream),
        "cursorField": stream.cursor_field,
        "primaryKey": stream.primary_key,
    }


def _changed(connection: Connection, request: ConnectionRequest) -> Connection:
    wanted = {
        "name": request.name,
        "status": request.status,
        "prefix": request.prefix,
        "namespace_definition": request.namespace_definition,
        "namespace_format": request.namespace_format,
        "non_breaking_schema_updates_behavior": request.non_breaking_schema_updates_behavior,
        "schedule_type": request.schedule.schedule_type if request.schedule else None,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    if changes.get("schedule_type", "manual") != "manual":
        raise unprocessable("this server starts syncs on request only: scheduleType must be 'manual'")
    return msgspec.structs.replace(connection, **changes)


def _without_type(configuration: Json) -> Json:
    """The connector's name is part of a request's configuration, and no part of the configuration."""
    return {name: value for name, value in configuration.items() if name not in ("sourceType", "destinationType")}


def _iso(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> float:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise bad_request(f"createdAtStart={text!r} is no date-time: {error}") from error
