"""The messages of the Airbyte protocol that a source writes, one JSON object per line.

Add a field of a message here, as in
https://docs.airbyte.com/platform/understanding-airbyte/airbyte-protocol; the handling of messages
belongs to `messages`.
"""

from typing import Any

import msgspec
from msgspec import Struct

from polygon_assets.local.airbyte.workspace.objects import Json


class Record(Struct):
    stream: str
    data: Json
    emitted_at: int
    """Unix ms."""


class StreamDescriptor(Struct):
    name: str


class StreamState(Struct):
    stream_descriptor: StreamDescriptor
    stream_state: Any = None


class State(Struct):
    stream: StreamState
    type: str = "STREAM"


class StreamStatus(Struct):
    stream_descriptor: StreamDescriptor
    status: str


class TraceError(Struct):
    message: str
    internal_message: str | None = None
    stack_trace: str | None = None
    failure_type: str | None = None
    stream_descriptor: StreamDescriptor | None = None


class Trace(Struct):
    emitted_at: float
    error: TraceError | None = None
    stream_status: StreamStatus | None = None


class Log(Struct):
    level: str
    message: str


class Catalog(Struct):
    streams: list[Json]


class Message(Struct):
    """One message, with one part set; other messages (SPEC, CONTROL, ...) have no part."""

    type: str
    record: Record | None = None
    state: State | None = None
    trace: Trace | None = None
    log: Log | None = None
    catalog: Catalog | None = None


decoder = msgspec.json.Decoder(Message)
