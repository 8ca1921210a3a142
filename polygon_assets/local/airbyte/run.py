"""One job under way: the connector's process, the loads of its streams, and why it failed if it did.

Which jobs there are, and what is kept of them, is `jobs`' business.
"""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from polygon_assets.local.airbyte import catalog
from polygon_assets.local.airbyte.connector import Connector
from polygon_assets.local.airbyte.destination import DestinationError, SnowflakeDestination
from polygon_assets.local.airbyte.job_log import JobLog
from polygon_assets.local.airbyte.loads import KeepState, Load, Merge, Replacement
from polygon_assets.local.airbyte.objects import Actor, ConfiguredStream, Connection, Definition, Failure, Json, StreamStats
from polygon_assets.local.airbyte.sync import Sync

logger = logging.getLogger(__name__)


class Run:
    """`execute` it in a thread of its own; any other may `cancel` it."""

    def __init__(self, job_id: int, connection: Connection, definition: Definition, source: Actor, warehouse: SnowflakeDestination) -> None:
        self.stats = [StreamStats(name=stream.name) for stream in connection.streams]
        self._job_id = job_id
        self._connection = connection
        self._definition = definition
        self._source = source
        self._warehouse = warehouse
        self._connector: Connector | None = None
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop the connector; what it wrote so far is still loaded."""
        self._cancelled.set()
        if self._connector:
            self._connector.stop()

    def execute(self, states: Mapping[str, Json], keep_state: KeepState, folder: Path, log_path: Path) -> list[Failure]:
        """Sync; returns what went wrong. `keep_state` is called once the records before a state are safe."""
        with JobLog(log_path) as log:
            try:
                failures = self._sync(states, keep_state, folder, log)
            except DestinationError as error:
                failures = [failure("destination", str(error))]
            except Exception as error:
                logger.exception("job %d", self._job_id)
                failures = [failure("airbyte_platform", f"{type(error).__name__}: {error}")]
            if self.cancelled:
                failures = [failure("airbyte_platform", "the job was cancelled", "manual_cancellation")]
            for each in failures:
                log.write("platform", "ERROR", f"{each.origin}: {each.message}")
        return failures

    def _sync(self, states: Mapping[str, Json], keep_state: KeepState, folder: Path, log: JobLog) -> list[Failure]:
        incremental = {stream.name for stream in self._connection.streams if stream.sync_mode == "incremental"}
        state = [state for stream, state in states.items() if stream in incremental]
        inputs = {"config": self._source.configuration, "manifest_path": self._definition.manifest}
        connector = Connector("read", folder, log, **inputs, catalog=self._catalog(), state=state)
        with connector, self._warehouse:
            self._connector = connector
            if self.cancelled:
                connector.stop()
            sync = Sync(self._loads(keep_state, folder), log)
            sync.run(connector.messages())
            return sync.failures or _judge(sync.incomplete, connector.exit_code())

    def _loads(self, keep_state: KeepState, folder: Path) -> dict[str, Load]:
        return {
            stats.name: self._load(stream, stats, keep_state, folder)
            for stream, stats in zip(self._connection.streams, self.stats, strict=True)
        }

    def _load(self, stream: ConfiguredStream, stats: StreamStats, keep_state: KeepState, folder: Path) -> Load:
        table = catalog.table(stream, self._connection.prefix)
        if stream.sync_mode == "incremental":
            return Merge(table, stats, self._warehouse, keep_state)
        return Replacement(table, stats, self._warehouse, folder / f"{stream.name}.jsonl")

    def _catalog(self) -> Json:
        """The protocol's ConfiguredAirbyteCatalog; a table that is replaced gets the job's id as its generation."""
        streams = []
        for stream in self._connection.streams:
            generation = 0 if stream.sync_mode == "incremental" else self._job_id
            numbers = {"generation_id": generation, "minimum_generation_id": generation, "sync_id": self._job_id}
            streams.append(msgspec.to_builtins(stream) | numbers)
        return {"streams": streams}


def failure(origin: str, message: str, kind: str = "system_error") -> Failure:
    """One that is said here and not by the connector."""
    return Failure(origin=origin, kind=kind, message=message, timestamp_ms=time.time_ns() // 1_000_000)


def _judge(incomplete: set[str], exit_code: int) -> list[Failure]:
    """What is known of a connector that gave no reason."""
    if not (exit_code or incomplete):
        return []
    end = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
    return [failure("source", f"the connector {end} before it had read {', '.join(sorted(incomplete)) or 'all'}")]
