"""Loads the records of one stream into its table: in batches with states, or all at once.

Records after the last state of a failed sync are loaded too: the next sync reads them again, and
the table's key prevents duplicates. Add a way of loading here; writing to Snowflake belongs to
`destination`.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.local.airbyte.sync.protocol import Record, State
from polygon_assets.local.airbyte.workspace.objects import Json, StreamStats

# The most records of a stream in memory: 50,000 daily bars take 43 MB.
BATCH_ROWS = 50_000
# The shortest time between two commits: a stream may have a state after every record.
COMMIT_SECONDS = 5.0
StoreState = Callable[[str, Json], None]


class Destination(Protocol):
    """Writes tables. Both methods return once the records are committed."""

    def merge(self, stream: Stream, records: Iterable[Json], extracted_at: dt.datetime) -> None: ...
    def overwrite(
        self, stream: Stream, records: Iterable[Json], extracted_at: dt.datetime
    ) -> None: ...


class Load(Protocol):
    """The load of one stream: records and states, `complete` if reported, `close` in any case."""

    stats: StreamStats

    def add(self, record: Record, size: int) -> None: ...
    def checkpoint(self, state: State) -> None: ...
    def complete(self, at_ms: float) -> None: ...
    def close(self) -> None: ...


class Merge:
    """The load of an incremental stream: a state is stored once its records are committed."""

    def __init__(
        self,
        stream: Stream,
        stats: StreamStats,
        destination: Destination,
        store_state: StoreState,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stats = stats
        self._stream = stream
        self._destination = destination
        self._store_state = store_state
        self._clock = clock
        # The first state is stored at once.
        self._committed_at = -COMMIT_SECONDS
        self._state: State | None = None
        self._records: list[Json] = []
        self._oldest_ms = 0
        self._bytes = 0

    def add(self, record: Record, size: int) -> None:
        _count(self.stats, size)
        if not self._records:
            self._oldest_ms = record.emitted_at
        self._records.append(record.data)
        self._bytes += size
        if len(self._records) >= BATCH_ROWS:
            self._commit()

    def checkpoint(self, state: State) -> None:
        self.stats.states_emitted += 1
        self._state = state
        if self._clock() - self._committed_at >= COMMIT_SECONDS:
            self._commit()

    def complete(self, at_ms: float) -> None:
        """Commit at the end of the stream, and create its table if it had no records."""
        if not self.stats.records_emitted:
            # The table must exist, even without records.
            self._destination.merge(self._stream, (), _moment(at_ms))
        self._commit()

    def close(self) -> None:
        """Commit what is left at the end of the sync."""
        self._commit()

    def _commit(self) -> None:
        if self._records:
            # The oldest time, so that no record looks newer than it is.
            self._destination.merge(self._stream, self._records, _moment(self._oldest_ms))
            self.stats.records_committed += len(self._records)
            self.stats.bytes_committed += self._bytes
            self._records, self._bytes = [], 0
        if self._state:
            self._store_state(self.stats.name, msgspec.to_builtins(self._state))
            self._state = None
        self._committed_at = self._clock()


class Replacement:
    """The load of a full-refresh stream: replaces the table once the connector reports the end."""

    def __init__(
        self, stream: Stream, stats: StreamStats, destination: Destination, spool: Path
    ) -> None:
        self.stats = stats
        self._stream = stream
        self._destination = destination
        self._spool = spool.open("w+b")

    def add(self, record: Record, size: int) -> None:
        _count(self.stats, size)
        self._spool.write(msgspec.json.encode(record.data) + b"\n")

    def checkpoint(self, state: State) -> None:  # noqa: ARG002
        """Count a state without storing it: each sync reads the stream from the beginning."""
        self.stats.states_emitted += 1

    def complete(self, at_ms: float) -> None:
        """Commit at the end of the stream, and create its table if it had no records."""
        self._spool.seek(0)
        self._destination.overwrite(self._stream, self._spooled(), _moment(at_ms))
        self.stats.records_committed, self.stats.bytes_committed = (
            self.stats.records_emitted,
            self.stats.bytes_emitted,
        )

    def close(self) -> None:
        self._spool.close()

    def _spooled(self) -> Iterator[Json]:
        decoder = msgspec.json.Decoder(dict[str, Any])
        for line in self._spool:
            yield decoder.decode(line)


def _count(stats: StreamStats, size: int) -> None:
    stats.records_emitted += 1
    stats.bytes_emitted += size


def _moment(ms: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
