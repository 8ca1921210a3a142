"""What the server keeps: definitions, sources, destinations, connections with their streams, states, jobs.

The shapes on disk only: what the API shows of them is made in `public_api` and `configuration_api`.
"""

from typing import Any

from msgspec import Struct, field

Json = dict[str, Any]


class Definition(Struct, frozen=True, kw_only=True):
    """A declarative source definition, and which version of its manifest this is."""

    id: str
    name: str
    manifest: Json
    version: int
    created_at: int


class Actor(Struct, frozen=True, kw_only=True):
    """A source or a destination, its secrets included."""

    id: str
    name: str
    definition_id: str
    configuration: Json
    created_at: int


class ConfiguredStream(Struct, frozen=True, kw_only=True):
    """A stream as the connector described it and as the connection uses it: the protocol's ConfiguredAirbyteStream."""

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
    """What the connector said it offers, for one manifest and configuration."""

    fingerprint: str
    streams: list[Json]
    created_at: int


class States(Struct, frozen=True, kw_only=True):
    """A connection's states: by stream, the last state message whose records are safe in the destination."""

    streams: dict[str, Json]
    created_at: int


class StreamStats(Struct, kw_only=True):
    """One stream in one job, counted while it runs."""

    name: str
    records_emitted: int = 0
    bytes_emitted: int = 0
    states_emitted: int = 0
    records_committed: int = 0
    bytes_committed: int = 0


class Failure(Struct, frozen=True, kw_only=True):
    """Why a job failed, in Airbyte's terms."""

    origin: str
    kind: str
    message: str
    timestamp_ms: int
    details: str = ""
    stream: str = ""
    from_trace: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """`created_at` and `updated_at` in Unix seconds."""

    id: int
    connection_id: str
    status: str
    created_at: int
    updated_at: int
    streams: list[StreamStats] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
