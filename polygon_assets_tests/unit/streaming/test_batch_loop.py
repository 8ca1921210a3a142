"""The loop of sink and archiver: what is due, what is written again, and what the heartbeat shows.

The programs themselves belong to processes/test_sink.py and processes/test_archiver.py.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from confluent_kafka import Message

from polygon_assets.messages import Heartbeat, ProgramState, unaccounted
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.batch_loop import BatchLoop, Limits, UnavailableError
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError


class FakeMessage:
    """The part of librdkafka's message that the loop uses."""

    def __init__(self, offset: int, partition: int = 0, size: int = 300) -> None:
        self._offset, self._partition, self._size = offset, partition, size

    def __len__(self) -> int:
        return self._size

    def offset(self) -> int:
        return self._offset

    def partition(self) -> int:
        return self._partition


class FakeConsumer:
    """A topic that gives what is asked for, and calls `stop` when it is empty."""

    problem = ""
    state = "streaming"

    def __init__(self, messages: Sequence[FakeMessage], stop: threading.Event) -> None:
        self.left = list(messages)
        self.assigned = frozenset({0, 1})
        self.paused: set[int] = set()
        self.limits: list[int] = []
        self.committed: dict[int, int] = {}
        self.is_stopped_after_a_commit = False
        self._stop = stop

    def read(self, most: int, _seconds: float) -> list[FakeMessage]:
        self.limits.append(most)
        if not self.left and (self.committed or not self.is_stopped_after_a_commit):
            self._stop.set()
        if self.paused:
            time.sleep(0.001)
            return []
        taken, self.left = self.left[:most], self.left[most:]
        return taken

    def take_loss(self) -> bool:
        return False

    def pause(self, partition: int) -> None:
        self.paused.add(partition)

    def resume(self, partition: int) -> None:
        self.paused.discard(partition)

    def positions(self, messages: Sequence[FakeMessage]) -> dict[int, int]:
        return {message.partition(): message.offset() + 1 for message in messages}

    def commit(self, positions: dict[int, int]) -> None:
        self.committed |= positions

    def lag(self) -> int:
        return len(self.left)


class FakePublisher:
    """A heartbeat that is never published; each of its accounts must add up."""

    def __init__(self) -> None:
        self.beat = Heartbeat("sink", "host:1:2", "streaming", 0, 0, counters={})
        self.states: list[ProgramState] = []

    def tick(self) -> None:
        assert unaccounted(self.beat) == 0

    def state(self, state: ProgramState, _detail: str = "") -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)

    def count(self, counter: str) -> None:
        self.count_all({counter: 1})

    def count_all(self, counts: dict[str, int], **levels: int) -> None:
        for name, number in counts.items():
            self.beat.counters[name] = self.beat.counters.get(name, 0) + number
        self.beat.counters |= levels


class Rig:
    """A loop over a topic of `count` messages, with a writer that fails at the given calls."""

    def __init__(self, count: int, limits: Limits, fails_at: Sequence[int] = ()) -> None:
        self.stop = threading.Event()
        self.consumer = FakeConsumer([FakeMessage(offset) for offset in range(count)], self.stop)
        self.publisher = FakePublisher()
        self.batches: list[list[int]] = []
        self.before_write: Callable[[], None] = lambda: None
        self._fails_at = fails_at
        self.loop = BatchLoop(
            cast(HeartbeatPublisher, self.publisher),
            cast(TopicConsumer, self.consumer),
            self._write,
            limits,
            lambda _: None,
        )
        self.loop._backoff = Backoff(first=0.001, longest=0.002)

    def _write(self, batch: Sequence[Message]) -> int:
        self.before_write()
        self.batches.append([message.offset() or 0 for message in batch])
        if len(self.batches) - 1 in self._fails_at:
            raise UnavailableError("away\nwith a second line")
        return 0

    def run(self) -> None:
        self.loop.run(self.stop)


def test_a_batch_has_no_more_messages_than_its_limit_and_everything_is_committed() -> None:
    rig = Rig(250, Limits(60, 5, messages=100))
    rig.run()
    assert [len(batch) for batch in rig.batches] == [100, 100, 50]
    assert rig.consumer.committed == {0: 250}
    assert rig.publisher.beat.counters == {
        "read": 250,
        "forwarded": 250,
        "refused": 0,
        "released": 0,
        "waiting": 0,
    }


def test_a_batch_is_due_when_its_bytes_are_reached_and_little_more_is_read() -> None:
    rig = Rig(100, Limits(60, 5, size=3_000))
    rig.run()
    assert sum(map(len, rig.batches)) == 100
    assert max(map(len, rig.batches)) * 300 < 4 * 3_000
    assert max(rig.consumer.limits) == 30


def test_a_batch_is_due_before_its_age_when_the_market_has_sent_all_it_has() -> None:
    rig = Rig(10, Limits(60, 5, when_quiet=True))
    rig.consumer.is_stopped_after_a_commit = True
    rig.loop._write_began_at -= 60
    rig.run()
    assert rig.batches == [[*range(10)]]


@pytest.mark.parametrize(
    ("when_quiet", "is_quiet", "due_at"),
    [(True, True, 100.5), (True, False, 100.9), (False, True, 100.9)],
)
def test_a_quiet_market_has_no_more_writes_than_one_in_each_age(
    *, when_quiet: bool, is_quiet: bool, due_at: float
) -> None:
    loop = Rig(0, Limits(0.5, 5, when_quiet=when_quiet)).loop
    loop._write_began_at, loop._oldest_at, loop._is_quiet = 100.0, 100.4, is_quiet
    assert loop._due_at(0.5) == due_at


def test_a_failed_batch_is_written_again_as_it_was_before_anything_newer() -> None:
    rig = Rig(300, Limits(60, 5, messages=100), fails_at=(0, 1, 3))
    rig.run()
    first, second, third = ([*range(start, start + 100)] for start in (0, 100, 200))
    assert rig.batches == [first, first, first, second, second, third]
    assert rig.consumer.committed == {0: 300}
    assert rig.publisher.beat.counters["retries"] == 3


def test_the_state_remains_that_of_the_failure_until_a_retry_has_succeeded() -> None:
    rig = Rig(150, Limits(60, 5, messages=100), fails_at=(0, 1))
    rig.consumer.is_stopped_after_a_commit = True
    rig.run()
    assert rig.publisher.states == ["streaming", "backing_off", "streaming", "draining"]


def test_it_pauses_while_a_full_batch_waits_for_a_retry_and_reads_no_more() -> None:
    rig = Rig(500, Limits(60, 5, messages=100), fails_at=range(20))
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, rig.publisher.beat.counters["waiting"])

    rig.before_write = look
    rig.run()
    assert most <= 201
    assert rig.consumer.committed == {0: 500}
    assert rig.consumer.paused == set()


def test_lost_partitions_are_released_and_another_member_reads_them_again() -> None:
    rig = Rig(0, Limits(60, 5))
    rig.consumer.left = [FakeMessage(offset, offset % 2) for offset in range(10)]
    rig.stop.set()
    rig.loop._turn(60)
    rig.consumer.assigned = frozenset({0})
    rig.loop._turn(60)
    assert rig.publisher.beat.counters == {"read": 10, "released": 5, "waiting": 5}
    rig.run()
    assert rig.batches == [[0, 2, 4, 6, 8]]


def test_what_is_not_taken_within_the_drain_deadline_ends_the_program() -> None:
    rig = Rig(5, Limits(60, 0.05), fails_at=range(1_000))
    with pytest.raises(ProgramError, match="the last 5 messages were not taken") as ended:
        rig.run()
    assert ended.value.code == EXIT_NOT_DRAINED
    assert rig.consumer.committed == {}


def test_an_error_that_no_retry_can_mend_ends_the_program() -> None:
    rig = Rig(5, Limits(0.001, 5))

    def fail() -> None:
        raise RuntimeError("a bug")

    rig.before_write = fail
    with pytest.raises(RuntimeError, match="a bug"):
        rig.run()
