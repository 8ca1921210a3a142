"""One sync: passes the connector's messages to the loads of its streams and collects failures.

Add the handling of a kind of message here; the process belongs to `connector`, tables to `loads`.
"""

from collections.abc import Iterable, Mapping

from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.sync.loads import Load
from polygon_assets.local.airbyte.sync.protocol import (
    Message,
    Record,
    State,
    StreamStatus,
    Trace,
    TraceError,
)
from polygon_assets.local.airbyte.workspace.objects import Failure


class Sync:
    """One sync of several streams; `loads` are keyed by the stream's name."""

    def __init__(self, loads: Mapping[str, Load], log: JobLog) -> None:
        self._loads = loads
        self._log = log
        self._completed_streams: set[str] = set()
        self.failures: list[Failure] = []

    @property
    def incomplete(self) -> set[str]:
        """The streams whose end the connector has not reported."""
        return set(self._loads) - self._completed_streams

    def run(self, messages: Iterable[tuple[Message, int]]) -> None:
        """Handle all messages, then let every load commit its remaining records."""
        for message, size in messages:
            self._handle(message, size)
        for load in self._loads.values():
            load.close()

    def _handle(self, message: Message, size: int) -> None:
        match message:
            case Message(record=Record() as record):
                self._loads[record.stream].add(record, size)
            case Message(state=State() as state):
                self._loads[state.stream.stream_descriptor.name].checkpoint(state)
            case Message(trace=Trace(error=TraceError() as error) as trace):
                self._fail(error, trace.emitted_at)
            case Message(trace=Trace(stream_status=StreamStatus() as status) as trace):
                self._handle_status(status, trace.emitted_at)
            case _ if message.log:
                self._log.write("source", message.log.level, message.log.message)

    def _handle_status(self, status: StreamStatus, at_ms: float) -> None:
        name = status.stream_descriptor.name
        self._log.write("source", "INFO", f"stream {name}: {status.status}")
        if status.status == "COMPLETE":
            self._loads[name].complete(at_ms)
            self._completed_streams.add(name)

    def _fail(self, error: TraceError, at_ms: float) -> None:
        self._log.write(
            "source",
            "ERROR",
            "\n".join(
                part for part in (error.message, error.internal_message, error.stack_trace) if part
            ),
        )
        self.failures.append(
            Failure(
                origin="source",
                kind=error.failure_type or "system_error",
                message=error.message,
                timestamp_ms=int(at_ms),
                details=error.internal_message or "",
                stream=error.stream_descriptor.name if error.stream_descriptor else "",
                from_trace=True,
            )
        )
