"""The one workspace: connector definitions, sources, destinations and their connections.

Add a change of the configuration here; requests and replies belong to `api`, syncs to `jobs`.
"""

import hashlib
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec

from polygon_assets.local.airbyte.api.problems import not_found, unprocessable
from polygon_assets.local.airbyte.sync import destination
from polygon_assets.local.airbyte.sync.connector import ConnectorError, discover
from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.workspace import catalog
from polygon_assets.local.airbyte.workspace.actors import Actors
from polygon_assets.local.airbyte.workspace.catalog import StreamChoice
from polygon_assets.local.airbyte.workspace.documents import Documents
from polygon_assets.local.airbyte.workspace.objects import (
    Actor,
    ConfiguredStream,
    Connection,
    Definition,
    Discovered,
    Json,
)


class Workspace:
    """The whole configuration, stored under `path`."""

    def __init__(self, path: Path, workspace_id: str) -> None:
        self.id = workspace_id
        self._path = path
        self._definitions = Documents(path / "definitions", Definition)
        self._connections = Documents(path / "connections", Connection)
        self._discovered = Documents(path / "catalogs", Discovered)
        self._discovering = threading.Lock()
        self.sources = Actors(
            "source", Documents(path / "sources", Actor), self._source_specification
        )
        self.destinations = Actors(
            "destination", Documents(path / "destinations", Actor), _destination_specification
        )

    def check_id(self, identifier: str | None) -> None:
        """Raise Problem 404 for another workspace."""
        if identifier != self.id:
            raise not_found("workspace", identifier)

    def definitions(self) -> list[Definition]:
        return self._definitions.all()

    def definition(self, identifier: str) -> Definition:
        """The definition with this id. Raises Problem 404."""
        definition = self._definitions.get(identifier)
        if not definition:
            raise not_found("definition", identifier)
        return definition

    def define(self, name: str, manifest: Json, now: int) -> Definition:
        """Store a new definition. Raises Problem 422 for an incomplete manifest."""
        _check_manifest(manifest)
        definition = Definition(
            id=str(uuid.uuid4()), name=name, manifest=manifest, version=1, created_at=now
        )
        return self._definitions.put(definition.id, definition)

    def redefine(self, identifier: str, manifest: Json) -> Definition:
        """Store a definition's next version. Raises Problem 404 or 422."""
        _check_manifest(manifest)
        old = self.definition(identifier)
        return self._definitions.put(
            identifier, msgspec.structs.replace(old, manifest=manifest, version=old.version + 1)
        )

    def delete_definition(self, identifier: str) -> Definition:
        """Delete a definition with its sources and their connections. Raises Problem 404."""
        definition = self.definition(identifier)
        for source in self.sources.all():
            if source.definition_id == identifier:
                self.delete_source(source.id)
        self._definitions.delete(identifier)
        return definition

    def delete_source(self, identifier: str) -> None:
        """Delete a source with its connections. Raises Problem 404."""
        self.sources.delete(identifier)
        self._delete_connections(identifier)

    def delete_destination(self, identifier: str) -> None:
        """Delete a destination with its connections. Raises Problem 404."""
        self.destinations.delete(identifier)
        self._delete_connections(identifier)

    def connections(self) -> list[Connection]:
        return self._connections.all()

    def connection(self, identifier: str) -> Connection:
        """The connection with this id. Raises Problem 404."""
        connection = self._connections.get(identifier)
        if not connection:
            raise not_found("connection", identifier)
        return connection

    def put_connection(self, connection: Connection) -> Connection:
        return self._connections.put(connection.id, connection)

    def delete_connection(self, identifier: str) -> None:
        """Delete a connection. Raises Problem 404."""
        self._connections.delete(self.connection(identifier).id)

    def parts(self, connection: Connection) -> tuple[Definition, Actor, Actor]:
        """The connection's definition, source and destination."""
        source = self.sources.get(connection.source_id)
        return (
            self.definition(source.definition_id),
            source,
            self.destinations.get(connection.destination_id),
        )

    def schema(self, connection: Connection) -> str:
        """The schema of the connection's tables."""
        if connection.namespace_definition == "custom_format" and connection.namespace_format:
            return connection.namespace_format
        return str(self.destinations.get(connection.destination_id).configuration["schema"])

    def discovered(self, source_id: str, now: int, *, fresh: bool = False) -> Sequence[Json]:
        """The streams that the source offers.

        The connector discovers them for each new manifest or configuration, and always if `fresh`.
        Raises Problem 404, and 422 with the connector's reason if it cannot discover them.
        """
        source = self.sources.get(source_id)
        manifest = self.definition(source.definition_id).manifest
        fingerprint = hashlib.sha256(
            msgspec.json.encode([manifest, source.configuration])
        ).hexdigest()
        with self._discovering:
            known = self._discovered.get(source_id)
            if known and known.fingerprint == fingerprint and not fresh:
                return known.streams
            streams = self._discover(manifest, source)
            self._discovered.put(
                source_id,
                Discovered(fingerprint=fingerprint, streams=list(streams), created_at=now),
            )
        return streams

    def configured(
        self, source_id: str, choices: Sequence[StreamChoice], now: int
    ) -> list[ConfiguredStream]:
        """The streams of a connection according to `choices`. Raises Problem."""
        return catalog.configure(self.discovered(source_id, now), choices)

    def _discover(self, manifest: Json, source: Actor) -> Sequence[Json]:
        folder = self._path / "work" / f"discover-{uuid.uuid4()}"
        try:
            with JobLog(self._path / "logs" / "discover.log") as log:
                return discover(manifest, source.configuration, folder, log)
        except ConnectorError as error:
            raise unprocessable(
                f"source {source.name}: its streams cannot be discovered: {error}"
            ) from error

    def _delete_connections(self, actor_id: str) -> None:
        for connection in self.connections():
            if actor_id in (connection.source_id, connection.destination_id):
                self._connections.delete(connection.id)

    def _source_specification(self, definition_id: str) -> Json:
        specification: Json = self.definition(definition_id).manifest["spec"][
            "connection_specification"
        ]
        return specification


def _destination_specification(_: str) -> Json:
    return destination.specification()


def _check_manifest(manifest: Json) -> None:
    spec = manifest.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("connection_specification"), dict):
        raise unprocessable("the manifest has no spec.connection_specification")
    if not manifest.get("streams"):
        raise unprocessable("the manifest has no streams")
