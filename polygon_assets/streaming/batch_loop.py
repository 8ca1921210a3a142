"""The loop of a program that hands over whole batches: collect, write in the background, commit.

Add how batches are collected and retried here; how a batch is written belongs to the program,
`sink` or `archiver`. How large one is belongs to the settings SINK_MAX_ROWS, SINK_MAX_AGE_SECONDS,
ARCHIVE_MAX_BYTES and ARCHIVE_MAX_SECONDS. A batch is committed once it is written: the rule of all
programs, see `consumer`.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Message

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.metrics import observe_write
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError

POLL_MESSAGES = 10_000
POLL_SECONDS = 0.1
"""A poll returns after so many messages or so long: soon enough for the next heartbeat."""
LONGEST_RETRY_SECONDS = 5.0
"""The pause between two tries of an insert, so that an outage costs its length and 5 s."""
LEAST_BYTES = 100
"""Nearly every message has more: an aggregate has 250 to 450 bytes."""
LONGEST_UNPOLLED_SECONDS = 20.0
"""A group discards a member that does not poll for 60 s (max.poll.interval.ms)."""

Write = Callable[[Sequence[Message]], int]
"""Returns once every message is safe, with the number of refused ones. Raises UnavailableError; the
same batch is then written again."""


class UnavailableError(PolygonAssetsError):
    """The next system accepts nothing now, whatever the messages contain."""


@dataclass(frozen=True)
class Limits:
    """When a batch is due; the bytes are those of the messages' values.

    `when_quiet`: also when a poll brings nothing, if the last write began `age_seconds` ago. The
    market sends the bars of a second at once; the rest of the age would be waited for in vain.
    There is still at most one write in each age, though a thin stream has more of them.
    """

    age_seconds: float
    drain_seconds: float
    messages: int = sys.maxsize
    size: int = sys.maxsize
    when_quiet: bool = False


class Handover(threading.Thread):
    """A write in the background: reading and decoding go on while the next system works.

    Started by its owner. The process does not wait for it when it ends.
    """

    def __init__(self, messages: list[Message], write: Write) -> None:
        super().__init__(name="handover", daemon=True)
        self.messages = messages
        self.started_at = time.monotonic()
        self.seconds = 0.0
        """How long the write took, once it has ended."""
        self._write = write
        self._refused = 0
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._refused = self._write(self.messages)
        except Exception as error:  # noqa: BLE001  # outcome() raises it in its caller's thread
            self._error = error
        finally:
            self.seconds = time.monotonic() - self.started_at

    def outcome(self) -> int:
        """How many messages were refused. Raises the write's error."""
        if self._error is not None:
            raise self._error
        return self._refused


class BatchLoop:
    """One batch is written while the next one is collected, so at most two are in memory.

    A batch holds all partitions: the next system needs nearly as much for one as for all.
    """

    def __init__(
        self,
        publisher: HeartbeatPublisher,
        consumer: TopicConsumer,
        write: Write,
        limits: Limits,
        report_loss: Callable[[Sequence[Message]], None],
    ) -> None:
        """`report_loss` gets the first messages after the broker lost some."""
        self._publisher = publisher
        self._consumer = consumer
        self._write = write
        self._limits = limits
        self._report_loss = report_loss
        self._handover: Handover | None = None
        self._failed: list[Message] = []
        """The batch that could not be written: written again as it is, before anything else."""
        self._waiting: list[Message] = []
        self._waiting_size = 0
        self._oldest_at = 0.0
        """When the first of the waiting messages was read."""
        self._is_quiet = False
        """The last poll brought nothing."""
        self._write_began_at = time.monotonic()
        self._partitions: frozenset[int] = frozenset()
        self._paused: frozenset[int] = frozenset()
        self._backoff = Backoff(longest=LONGEST_RETRY_SECONDS)
        self._retry_at = 0.0
        self._is_failing = False

    def run(self, stop: threading.Event, each_turn: Callable[[], None] = lambda: None) -> None:
        """Work until stopped, then write what was read, within the drain deadline.

        `each_turn` is called several times a second; what it raises ends the program.
        """
        while not stop.is_set():
            each_turn()
            self._turn(self._limits.age_seconds)
            # Until a retry succeeds, the state remains that of the failure.
            if not self._is_failing:
                self._publisher.state(self._consumer.state, self._consumer.problem)
        self._publisher.state("draining")
        deadline = time.monotonic() + self._limits.drain_seconds
        while self._unwritten:
            self._write_due(0.0)
            self._publisher.tick()
            if time.monotonic() > deadline:
                raise ProgramError(
                    EXIT_NOT_DRAINED,
                    f"the last {self._unwritten:,} messages were not taken within "
                    f"{self._limits.drain_seconds:.0f} s; the next start reads them again",
                )
            time.sleep(0.01)

    def _turn(self, age: float) -> None:
        self._publisher.tick()
        if self._handover and self._is_full and not self._paused:
            # Not paused: a pause discards what the client has fetched ahead, every time.
            self._handover.join(POLL_SECONDS)
        else:
            messages = self._consumer.read(self._room, min(POLL_SECONDS, age))
            if self._consumer.take_loss():
                self._report_loss(messages)
            self._is_quiet = not messages
            self._collect(messages)
        self._write_due(age)
        self._pause_when_full()
        lag = self._consumer.lag()
        self._publisher.beat.lag = None if lag is None else lag + self._unwritten

    def _collect(self, messages: list[Message]) -> None:
        if not self._waiting:
            self._oldest_at = time.monotonic()
        self._waiting.extend(messages)
        self._waiting_size += sum(map(len, messages))
        unwritten = self._unwritten
        if self._partitions - self._consumer.assigned:
            self._release()
        self._partitions = self._consumer.assigned
        self._publisher.count_all(
            {"read": len(messages), "released": unwritten - self._unwritten},
            waiting=self._unwritten,
        )

    def _release(self) -> None:
        """Forget the lost partitions: another member reads them from their last commit."""
        assigned = self._consumer.assigned
        self._failed = [message for message in self._failed if message.partition() in assigned]
        self._waiting = [message for message in self._waiting if message.partition() in assigned]
        self._waiting_size = sum(map(len, self._waiting))
        self._is_failing &= bool(self._failed or self._handover)

    def _write_due(self, age: float) -> None:
        """Finish the write that has ended, and start the next one that is due."""
        if self._handover and not self._handover.is_alive():
            self._finish(self._handover)
        now = time.monotonic()
        if self._handover or now < self._retry_at:
            return
        if self._failed:
            batch, self._failed = self._failed, []
        elif self._waiting and (self._is_full or now >= self._due_at(age)):
            batch, self._waiting, self._waiting_size = self._waiting, [], 0
        else:
            return
        self._write_began_at = now
        self._handover = Handover(batch, self._write)
        self._handover.start()

    def _due_at(self, age: float) -> float:
        due_at = self._oldest_at + age
        if self._limits.when_quiet and self._is_quiet:
            due_at = min(due_at, self._write_began_at + age)
        return due_at

    def _finish(self, handover: Handover) -> None:
        self._handover = None
        program = self._publisher.beat.program
        try:
            refused = handover.outcome()
        except UnavailableError as error:
            observe_write(program, "unavailable", handover.seconds)
            self._failed = handover.messages
            self._retry_later(str(error))
        else:
            observe_write(program, "written", handover.seconds)
            self._publisher.count_all(
                {"forwarded": len(handover.messages) - refused, "refused": refused},
                waiting=self._unwritten,
            )
            self._backoff.reset()
            self._is_failing = False
            self._consumer.commit(self._consumer.positions(handover.messages))

    @property
    def _unwritten(self) -> int:
        """Messages that were read and are neither written nor refused yet."""
        written = len(self._handover.messages) if self._handover else 0
        return len(self._waiting) + len(self._failed) + written

    @property
    def _room(self) -> int:
        """How many messages are read next: not many more than a batch has room for."""
        room = min(
            POLL_MESSAGES,
            self._limits.messages - len(self._waiting),
            (self._limits.size - self._waiting_size) // LEAST_BYTES,
        )
        return max(1, room)

    @property
    def _is_full(self) -> bool:
        return (
            len(self._waiting) >= self._limits.messages or self._waiting_size >= self._limits.size
        )

    def _pause_when_full(self) -> None:
        """Pause while a full batch waits for a retry, or for a write that takes long.

        Polling goes on, which keeps this member in the group.
        """
        unpolled = time.monotonic() - LONGEST_UNPOLLED_SECONDS
        is_stuck = self._handover is None or self._handover.started_at < unpolled
        paused = self._consumer.assigned if self._is_full and is_stuck else frozenset()
        # Each turn: a partition that was revoked and assigned again is no longer paused.
        for partition in paused:
            self._consumer.pause(partition)
        for partition in (self._paused - paused) & self._consumer.assigned:
            self._consumer.resume(partition)
        self._paused = paused

    def _retry_later(self, reason: str) -> None:
        self._is_failing = True
        self._retry_at = time.monotonic() + self._backoff.next_delay()
        self._publisher.count("retries")
        self._publisher.state("backing_off", reason.splitlines()[0][:300])
