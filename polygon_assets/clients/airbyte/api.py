"""The calls of Airbyte's APIs that the project makes, each a method of `AirbyteApi`.

Add an endpoint here when the project calls it; how a request is sent and repeated belongs to
`transport`, and how a job's answer is read to `job_outcome`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from polygon_assets.clients.airbyte.job_outcome import JobOutcome, job_outcome
from polygon_assets.clients.airbyte.transport import (
    PATIENCE_SECONDS,
    AirbyteError,
    Json,
    Transport,
)
from polygon_assets.settings import Settings

PAGE_SIZE = 100


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
        self._transport = Transport(settings, patience_seconds, sleep)

    def close(self) -> None:
        """Close the HTTP connections."""
        self._transport.close()

    def definitions(self) -> list[Json]:
        """The declarative source definitions: id, name, manifest, version."""
        return list(self._transport.get(self._definitions)["data"])

    def create_definition(self, name: str, manifest: Json) -> Json:
        body = {"name": name, "manifest": manifest}
        return self._transport.call("POST", self._definitions, body, repeatable=False)

    def update_definition(self, definition_id: str, manifest: Json) -> Json:
        """Make `manifest` the active version."""
        return self._transport.call(
            "PUT", f"{self._definitions}/{definition_id}", {"manifest": manifest}
        )

    def sources(self) -> list[Json]:
        return list(self._pages("/sources"))

    def create_source(self, name: str, definition_id: str, configuration: Json) -> Json:
        return self._create(
            "/sources",
            {"name": name, "definitionId": definition_id, "configuration": configuration},
        )

    def patch_source(self, source_id: str, configuration: Json) -> Json:
        """Change the given fields of the configuration and keep the others."""
        return self._transport.call(
            "PATCH", f"/sources/{source_id}", {"configuration": configuration}
        )

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
        return self._transport.call(
            "PUT", f"/destinations/{destination_id}", {"name": name, "configuration": configuration}
        )

    def stream_properties(self, source_id: str, *, fresh: bool = False) -> Sequence[Json]:
        """The streams that the source offers, each as Airbyte's StreamProperties.

        `fresh` makes Airbyte run the connector's discovery again instead of using its cache.
        """
        streams: Any = self._transport.get(
            "/streams", sourceId=source_id, ignoreCache=str(fresh).lower()
        )
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
                "create it with `polygon-assets airbyte apply`"
            )
        return ids[name]

    def create_connection(self, connection: Json) -> Json:
        """Create a connection from a body in the shape of Airbyte's ConnectionCreateRequest."""
        return self._transport.call("POST", "/connections", connection, repeatable=False)

    def patch_connection(self, connection_id: str, changes: Json) -> Json:
        """Change the given fields of a connection; its state stays."""
        return self._transport.call("PATCH", f"/connections/{connection_id}", changes)

    def catalog(self, connection_id: str) -> Sequence[Json]:
        """The selected streams with their schemas and `config`, which the public API lacks."""
        answer = self._transport.configure("/connections/get", {"connectionId": connection_id})
        return list((answer.get("syncCatalog") or {}).get("streams") or ())

    def states(self, connection_id: str) -> dict[str, Json]:
        """The connector's state (its cursor) by stream name; streams never synced are missing."""
        answer = self._transport.configure("/state/get", {"connectionId": connection_id})
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
        self._transport.configure(
            "/state/create_or_update_safe",
            {"connectionId": connection_id, "connectionState": state},
        )

    def jobs(self, connection_id: str, limit: int = PAGE_SIZE) -> list[Json]:
        """The last `limit` jobs of a connection, newest first."""
        # Airbyte's own order is oldest first.
        query = {
            "workspaceIds": self.workspace_id,
            "connectionId": connection_id,
            "limit": limit,
            "orderBy": "createdAt|DESC",
        }
        return list(self._transport.get("/jobs", **query)["data"])

    def outcome(self, job_id: int) -> JobOutcome:
        """A job's status, the reasons of its failure, and its counts per stream."""
        return job_outcome(self._transport.configure("/jobs/get_without_logs", {"id": job_id}))

    @property
    def _definitions(self) -> str:
        return f"/workspaces/{self.workspace_id}/definitions/declarative_sources"

    def _create(self, path: str, body: Json) -> Json:
        return self._transport.call(
            "POST", path, body | {"workspaceId": self.workspace_id}, repeatable=False
        )

    def _pages(self, path: str) -> Iterator[Json]:
        page: list[Json] = [{}] * PAGE_SIZE
        offset = 0
        while len(page) == PAGE_SIZE:
            page = self._transport.get(
                path, workspaceIds=self.workspace_id, limit=PAGE_SIZE, offset=offset
            )["data"]
            offset += PAGE_SIZE
            yield from page
