"""The order of loads and states: records are committed before their state, memory is bounded."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.local.airbyte.sync import loads
from polygon_assets.local.airbyte.sync.loads import Merge, Replacement
from polygon_assets.local.airbyte.sync.protocol import Record, State, StreamDescriptor, StreamState
from polygon_assets.local.airbyte.workspace.objects import Json, StreamStats

STREAM = Stream("bars", ("id",), "id", {"id": {"type": "integer"}})


class FullError(Exception):
    """The error of the destination below."""


@dataclass
class Recorder:
    """A destination and a state store that record their calls in one list."""

    calls: list[object] = field(default_factory=list)
    full: bool = False
    now: float = 100.0

    def merge(self, _: Stream, records: Iterable[Json], extracted_at: dt.datetime) -> None:
        if self.full:
            raise FullError
        self.calls.append(("merge", [record["id"] for record in records], extracted_at.timestamp()))

    def overwrite(self, _: Stream, records: Iterable[Json], extracted_at: dt.datetime) -> None:
        self.calls.append(
            ("overwrite", [record["id"] for record in records], extracted_at.timestamp())
        )

    def store_state(self, stream: str, state: Json) -> None:
        self.calls.append((stream, state["stream"]["stream_state"]))

    def merge_load(self) -> Merge:
        return Merge(STREAM, StreamStats(name="bars"), self, self.store_state, lambda: self.now)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def record(number: int) -> Record:
    return Record("bars", {"id": number}, emitted_at=number * 1000)


def state(number: int) -> State:
    return State(StreamState(StreamDescriptor("bars"), {"id": number}))


def test_the_first_state_is_stored_at_once_after_its_records(recorder: Recorder) -> None:
    load = recorder.merge_load()
    load.add(record(1), 10)
    load.add(record(2), 10)
    assert recorder.calls == []
    load.checkpoint(state(2))
    assert recorder.calls == [("merge", [1, 2], 1.0), ("bars", {"id": 2})]
    assert (load.stats.records_committed, load.stats.bytes_committed) == (2, 20)


def test_states_in_quick_succession_share_a_load(recorder: Recorder) -> None:
    load = recorder.merge_load()
    load.checkpoint(state(0))
    for number in (1, 2, 3):
        load.add(record(number), 10)
        load.checkpoint(state(number))
    assert recorder.calls == [("bars", {"id": 0})]
    recorder.now += loads.COMMIT_SECONDS
    load.checkpoint(state(4))
    assert recorder.calls[1:] == [("merge", [1, 2, 3], 1.0), ("bars", {"id": 4})]


def test_many_records_without_a_state_are_loaded_without_changing_the_state(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "BATCH_ROWS", 2)
    load = recorder.merge_load()
    for number in (1, 2, 3):
        load.add(record(number), 10)
    assert recorder.calls == [("merge", [1, 2], 1.0)]
    load.close()
    assert recorder.calls[1:] == [("merge", [3], 3.0)]


def test_a_state_whose_records_could_not_be_loaded_is_not_stored(recorder: Recorder) -> None:
    recorder.full = True
    load = recorder.merge_load()
    load.add(record(1), 10)
    with pytest.raises(FullError):
        load.checkpoint(state(1))
    assert recorder.calls == []
    assert load.stats.records_committed == 0


def test_records_read_before_the_end_are_committed_with_the_last_state(recorder: Recorder) -> None:
    load = recorder.merge_load()
    load.checkpoint(state(0))
    load.add(record(1), 10)
    load.checkpoint(state(1))
    load.add(record(2), 10)
    load.close()
    assert recorder.calls[1:] == [("merge", [1, 2], 1.0), ("bars", {"id": 1})]


def test_a_stream_without_records_still_gets_its_table(recorder: Recorder) -> None:
    recorder.merge_load().complete(5000)
    assert recorder.calls == [("merge", [], 5.0)]


def test_a_replaced_table_changes_only_when_the_stream_is_complete(
    recorder: Recorder, tmp_path: Path
) -> None:
    load = Replacement(STREAM, StreamStats(name="bars"), recorder, tmp_path / "spool")
    load.add(record(1), 10)
    load.checkpoint(state(1))
    load.add(record(2), 10)
    assert (recorder.calls, load.stats.records_committed) == ([], 0)
    load.complete(9000)
    assert recorder.calls == [("overwrite", [1, 2], 9.0)]
    assert (load.stats.records_committed, load.stats.bytes_committed) == (2, 20)
    load.close()
    assert len(recorder.calls) == 1
