"""The sink: FILTERED_TOPIC into `market.stock_aggregates`, committed after ClickHouse has the rows.

When to insert belongs here (SINK_MAX_ROWS or SINK_MAX_AGE_SECONDS, whichever comes first); the
insert itself belongs to `clickhouse_writer`. A crash between insert and commit makes a second
insert, which changes nothing, because the table keeps the newest `received_at` of a key.
ClickHouse's official Kafka Connect sink replaces this program.
`dead_letter_loader` stores the dead letters in a thread beside it.
"""

import threading
import time
from contextlib import closing

from confluent_kafka import Message

from polygon_assets.settings import Settings
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.broker_loss import report_broker_loss
from polygon_assets.streaming.clickhouse_writer import ClickHouseWriter, Insertion, UnavailableError
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.dead_letter_loader import DeadLetterLoader
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError
from polygon_assets.topics import FILTERED_TOPIC, SINK_GROUP

READ_MESSAGES = 10_000
READ_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0


def run(settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
    """Load until `stop` is set."""
    with (
        closing(TopicConsumer(settings, SINK_GROUP, FILTERED_TOPIC)) as consumer,
        DeadLetterLoader(settings) as letters,
    ):
        Sink(settings, publisher, consumer, letters).run(stop)


class Sink:
    """The loop: collect, insert what is due, commit what is inserted.

    One insert holds all partitions, because ClickHouse needs nearly as much for 1,000 rows as for
    6,000.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: HeartbeatPublisher,
        consumer: TopicConsumer,
        letters: DeadLetterLoader,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._consumer = consumer
        self._letters = letters
        self._delivery = Delivery(settings)
        self._writer = ClickHouseWriter(settings, publisher, self._delivery)
        self._insertion: Insertion | None = None
        self._waiting: list[Message] = []
        self._oldest_at = 0.0
        """When the first of the waiting messages was read."""
        self._partitions: frozenset[int] = frozenset()
        self._paused: frozenset[int] = frozenset()
        self._backoff = Backoff(longest=LONGEST_RETRY_SECONDS)
        self._retry_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until stopped, then insert what was read, within the drain deadline."""
        while not stop.is_set():
            self._watch_letters()
            self._turn(self._settings.sink_max_age_seconds)
            # While a retry is pending, the state remains that of the failure.
            if time.monotonic() >= self._retry_at:
                self._publisher.state(
                    "streaming" if self._consumer.assigned else "waiting", self._consumer.problem
                )
        self._publisher.state("draining")
        self._letters.ask_to_end()
        deadline = time.monotonic() + self._settings.drain_seconds
        while self._insertion or self._waiting:
            self._insert_due(0.0)
            self._publisher.tick()
            if time.monotonic() > deadline:
                raise ProgramError(
                    EXIT_NOT_DRAINED,
                    "ClickHouse did not take the last rows; the next start reads them again",
                )
            time.sleep(0.01)

    def _watch_letters(self) -> None:
        """Raise the loader's error, which ends the program; otherwise show its counters."""
        self._letters.raise_error()
        if levels := self._letters.counters():
            self._publisher.count_all({}, **levels)

    def _turn(self, age: float) -> None:
        self._publisher.tick()
        if self._insertion and self._is_full:
            # Not paused: a pause discards what the client has fetched ahead, every time.
            self._insertion.join(READ_SECONDS)
        else:
            messages = self._consumer.read(READ_MESSAGES, min(READ_SECONDS, age))
            if self._consumer.take_loss():
                # The writer flushes this delivery before it returns, hence before the commit.
                report_broker_loss(self._delivery, self._publisher, messages)
            self._collect(messages)
        self._insert_due(age)
        self._pause_when_full()
        lag = self._consumer.lag()
        self._publisher.beat.lag = None if lag is None else lag + self._held

    def _collect(self, messages: list[Message]) -> None:
        if not self._waiting:
            self._oldest_at = time.monotonic()
        self._waiting.extend(messages)
        held, assigned = self._held, self._consumer.assigned
        if self._partitions - assigned:
            # Another member now reads the lost partitions from their last commit.
            self._waiting = [
                message for message in self._waiting if message.partition() in assigned
            ]
        self._partitions = assigned
        self._publisher.count_all(
            {"read": len(messages), "released": held - self._held}, waiting=self._held
        )

    def _insert_due(self, age: float) -> None:
        """Finish the insert that has ended, and start the next one that is due."""
        if self._insertion and not self._insertion.is_alive():
            self._finish(self._insertion)
        now = time.monotonic()
        if self._insertion or not self._waiting or now < self._retry_at:
            return
        if self._is_full or now >= self._oldest_at + age:
            most = self._settings.sink_max_rows
            batch, self._waiting, self._oldest_at = self._waiting[:most], self._waiting[most:], now
            self._insertion = Insertion(batch, self._writer.insert)
            self._insertion.start()

    def _finish(self, insertion: Insertion) -> None:
        self._insertion = None
        try:
            refused = insertion.outcome()
        except UnavailableError as error:
            self._waiting = insertion.messages + self._waiting
            self._retry_later(str(error))
        else:
            self._publisher.count_all(
                {"forwarded": len(insertion.messages) - refused, "refused": refused},
                waiting=self._held,
            )
            self._backoff.reset()
            self._consumer.commit(self._consumer.positions(insertion.messages))

    @property
    def _held(self) -> int:
        """Messages that were read and are neither rows nor dead letters yet."""
        return len(self._waiting) + (len(self._insertion.messages) if self._insertion else 0)

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= self._settings.sink_max_rows

    def _pause_when_full(self) -> None:
        """Pause while a full batch waits for ClickHouse.

        Polling goes on, which keeps this member in the group.
        """
        paused = self._consumer.assigned if self._is_full and not self._insertion else frozenset()
        # Each turn: a partition that was revoked and assigned again is no longer paused.
        for partition in paused:
            self._consumer.pause(partition)
        for partition in (self._paused - paused) & self._consumer.assigned:
            self._consumer.resume(partition)
        self._paused = paused

    def _retry_later(self, reason: str) -> None:
        self._retry_at = time.monotonic() + self._backoff.next_delay()
        self._publisher.count("retries")
        self._publisher.state("backing_off", reason.splitlines()[0][:300])
