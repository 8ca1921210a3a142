"""Executes one job: the connector's process, the loads of its streams, and the failures.

Add a step of a job's execution here; storing jobs and states belongs to `jobs`.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from polygon_assets.local.airbyte.sync.connector import Connector, ConnectorError
from polygon_assets.local.airbyte.sync.destination import DestinationError, SnowflakeDestination
from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.sync.loads import (
    Destination,
    Load,
    Merge,
    Replacement,
    StoreState,
)
from polygon_assets.local.airbyte.sync.messages import Sync
from polygon_assets.local.airbyte.workspace import catalog
from polygon_assets.local.airbyte.workspace.objects import (
    ConfiguredStream,
    Connection,
    Failure,
    Json,
    StreamStats,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A job's input: the configurations at its start, the schema of its tables, the states."""

    job_id: int
    connection: Connection
    manifest: Json
    source: Json
    destination: Json
    schema: str
    states: Mapping[str, Json]


class Run:
    """The execution of a job; call `execute` in its own thread, `cancel` in any other."""

    def __init__(self, plan: Plan, store_state: StoreState, folder: Path) -> None:
        """`store_state` is called once the records before a state are committed.

        Only this job may use `folder`; it is deleted afterwards.
        """
        self.stats = [StreamStats(name=stream.name) for stream in plan.connection.streams]
        self._plan = plan
        self._store_state = store_state
        self._folder = folder
        self._connector: Connector | None = None
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop the connector; the records that it has written are still loaded."""
        self._cancelled.set()
        if self._connector:
            self._connector.stop()

    def execute(self, log: JobLog) -> list[Failure]:
        """Run the sync; returns its failures."""
        try:
            failures = self._sync(log)
        except ConnectorError as error:
            failures = [failure("source", str(error))]
        except DestinationError as error:
            failures = [failure("destination", str(error))]
        except Exception as error:
            logger.exception("job %d", self._plan.job_id)
            failures = [failure("airbyte_platform", f"{type(error).__name__}: {error}")]
        if self.cancelled:
            failures = [failure("airbyte_platform", "the job was cancelled", "manual_cancellation")]
        for problem in failures:
            log.write("platform", "ERROR", f"{problem.origin}: {problem.message}")
        return failures

    def _sync(self, log: JobLog) -> list[Failure]:
        plan, began = self._plan, time.monotonic()
        state = [
            plan.states[stream.name]
            for stream in plan.connection.streams
            if _is_incremental(stream) and stream.name in plan.states
        ]
        inputs = {
            "config": plan.source,
            "manifest_path": plan.manifest,
            "catalog": self._catalog(),
            "state": state,
        }
        with (
            Connector("read", self._folder, log, **inputs) as connector,
            SnowflakeDestination(plan.destination, plan.schema, plan.job_id, log) as destination,
        ):
            self._connector = connector
            if self.cancelled:
                connector.stop()
            sync = Sync(self._loads(destination), log)
            sync.run(connector.messages())
            log.write(
                "platform",
                "INFO",
                f"{time.monotonic() - began:.1f} s, of which {destination.seconds:.1f} s for loads",
            )
            return sync.failures or _unreported_failures(sync.incomplete, connector.exit_code())

    def _loads(self, destination: Destination) -> dict[str, Load]:
        loads: dict[str, Load] = {}
        for stream, stats in zip(self._plan.connection.streams, self.stats, strict=True):
            table = catalog.table(stream, self._plan.connection.prefix)
            loads[stream.name] = (
                Merge(table, stats, destination, self._store_state)
                if _is_incremental(stream)
                else Replacement(table, stats, destination, self._folder / f"{stream.name}.jsonl")
            )
        return loads

    def _catalog(self) -> Json:
        """The ConfiguredAirbyteCatalog.

        A replaced table's generation is the job's id; rows of an incremental stream stay, so its
        generation is always 0.
        """
        streams = []
        for stream in self._plan.connection.streams:
            generation = 0 if _is_incremental(stream) else self._plan.job_id
            numbers = {
                "generation_id": generation,
                "minimum_generation_id": generation,
                "sync_id": self._plan.job_id,
            }
            streams.append(msgspec.to_builtins(stream) | numbers)
        return {"streams": streams}


def _is_incremental(stream: ConfiguredStream) -> bool:
    return stream.sync_mode == "incremental"


def failure(origin: str, message: str, kind: str = "system_error") -> Failure:
    """A failure that this server found, not the connector."""
    return Failure(
        origin=origin, kind=kind, message=message, timestamp_ms=time.time_ns() // 1_000_000
    )


def _unreported_failures(incomplete: set[str], exit_code: int) -> list[Failure]:
    """The failure of a connector that gave no reason; none if it ended well with all streams."""
    if not (exit_code or incomplete):
        return []
    end = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
    return [
        failure(
            "source",
            f"the connector {end} before it had read {', '.join(sorted(incomplete)) or 'all'}",
        )
    ]
