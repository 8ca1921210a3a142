"""The stored objects: definitions, actors, connections with their streams, states, jobs.

Add a field on disk here; the API's answers belong to `public_api` and `configuration_api`.
"""

from typing import Any

from msgspec import Struct, field

Json = dict[str, Any]


class Definition(Struct, frozen=True, kw_only=True):
    """A declarative source definition with the version of its manifest."""

    id: str
    name: str
    manifest: Json
    version: int
    created_at: int


class Actor(Struct, frozen=True, kw_only=True):
    """A source or a destination, including its secrets."""

    id: str
    name: str
    definition_id: str
    configuration: Json
    created_at: int


class ConfiguredStream(Struct, frozen=True, kw_only=True):
    """The protocol's ConfiguredAirbyteStream: a stream and its use by a connection."""

    stream: Json
    sync_mode: str
    destination_sync_mode: str
    cursor_field: list[str]
    primary_key: list[list[str]]

    @property
    def name(self) -> str:
        return str(self.stream["name"])


class Connection(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    source_id: str
    destination_id: str
    streams: list[ConfiguredStream]
    created_at: int
    status: str = "active"
    prefix: str = ""
    namespace_definition: str = "destination"
    namespace_format: str | None = None
    schedule_type: str = "manual"
    non_breaking_schema_updates_behavior: str = "ignore"


class Discovered(Struct, frozen=True, kw_only=True):
    """The streams that the connector offers, for one manifest and configuration."""

    fingerprint: str
    streams: list[Json]
    created_at: int


class States(Struct, frozen=True, kw_only=True):
    """A connection's states: by stream, the last state message whose records are committed."""

    streams: dict[str, Json]
    created_at: int


class StreamStats(Struct, kw_only=True):
    """Counts of one stream in one job; they grow while the job runs."""

    name: str
    records_emitted: int = 0
    bytes_emitted: int = 0
    states_emitted: int = 0
    records_committed: int = 0
    bytes_committed: int = 0


class Failure(Struct, frozen=True, kw_only=True):
    """The reason why a job failed, in Airbyte's terms."""

    origin: str
    kind: str
    message: str
    timestamp_ms: int
    details: str = ""
    stream: str = ""
    from_trace: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """A sync; `created_at` and `updated_at` are in Unix seconds."""

    id: int
    connection_id: str
    status: str
    created_at: int
    updated_at: int
    streams: list[StreamStats] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
