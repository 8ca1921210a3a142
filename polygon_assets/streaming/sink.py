"""The sink: FILTERED_TOPIC into `market.stock_aggregates`, one batch for all partitions, committed after ClickHouse has it.

A batch may be inserted twice (a crash between insert and commit); the table keeps the newest `received_at` of a key, so that
changes nothing. Where ClickHouse's official Kafka Connect sink runs instead, this program is not needed.
"""

import threading
import time
from contextlib import closing

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error
from confluent_kafka import Message

from polygon_assets.clients import clickhouse
from polygon_assets.messages import FILTERED_TOPIC, SINK_GROUP, DeadLetter
from polygon_assets.settings import Settings
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.inbox import Inbox
from polygon_assets.streaming.outbox import Outbox
from polygon_assets.streaming.program import EXIT_NOT_DRAINED, ProgramError, require
from polygon_assets.streaming.pulse import Pulse
from polygon_assets.streaming.rows import BadRowsError, newest_ms, to_table

TABLE = "market.stock_aggregates"
READ_MESSAGES = 10_000
READ_SECONDS = 0.1
ANSWER_SECONDS = 15
INSERT_SETTINGS = {"throw_on_max_partitions_per_insert_block": 0}
"""More than 100 trading days in one batch are unusual, not wrong; refused, such a batch would be tried for ever."""
LONGEST_RETRY_SECONDS = 5.0

BAD_DATA_CODES = frozenset({6, 26, 27, 38, 41, 53, 69, 70, 72, 117, 131, 349, 407, 469})
"""ClickHouse errors that blame the rows: cannot parse, convert or represent them, a constraint. Any other may pass and is tried again."""


class UnavailableError(Exception):
    """ClickHouse does not take rows now; the rows are not to blame."""


def run(settings: Settings, pulse: Pulse, stop: threading.Event) -> None:
    """Load until `stop` is set."""
    require(settings, "clickhouse_host")
    with closing(Inbox(settings, SINK_GROUP, FILTERED_TOPIC)) as inbox:
        Sink(settings, pulse, inbox).run(stop)


class Sink:
    """The loop: collect, insert what is due, commit what is inserted.

    One insert holds all partitions: for ClickHouse an insert of 1,000 rows costs nearly as much as one of 6,000.
    """

    def __init__(self, settings: Settings, pulse: Pulse, inbox: Inbox) -> None:
        self._settings = settings
        self._pulse = pulse
        self._inbox = inbox
        self._outbox = Outbox(settings)
        self._waiting: list[Message] = []
        self._oldest_at = 0.0
        """When the first of the waiting messages was read."""
        self._partitions: frozenset[int] = frozenset()
        self._paused: frozenset[int] = frozenset()
        self._client: Client | None = None
        self._backoff = Backoff(longest=LONGEST_RETRY_SECONDS)
        self._retry_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until stopped, then insert what was read, within the drain deadline."""
        while not stop.is_set():
            self._turn(self._settings.sink_max_age_seconds)
            if time.monotonic() >= self._retry_at:
                self._pulse.state("streaming" if self._inbox.assigned else "waiting", self._inbox.trouble)
        self._pulse.state("draining")
        deadline = time.monotonic() + self._settings.drain_seconds
        while self._waiting:
            self._flush_due(0.0)
            self._pulse.tick()
            if self._waiting and time.monotonic() > deadline:
                raise ProgramError(EXIT_NOT_DRAINED, "ClickHouse did not take the last rows; they are read again at the next start")

    def _turn(self, age: float) -> None:
        self._pulse.tick()
        self._collect(self._inbox.read(READ_MESSAGES, min(READ_SECONDS, age)))
        self._flush_due(age)
        self._hold_back()
        lag = self._inbox.lag()
        self._pulse.beat.lag = None if lag is None else lag + len(self._waiting)

    def _collect(self, messages: list[Message]) -> None:
        if not self._waiting:
            self._oldest_at = time.monotonic()
        self._waiting.extend(messages)
        self._pulse.count("read", len(messages))
        assigned = self._inbox.assigned
        if self._partitions - assigned:
            # Another member has the lost partitions now and reads them from the last commit.
            self._waiting = [message for message in self._waiting if message.partition() in assigned]
        self._partitions = assigned

    def _flush_due(self, age: float) -> None:
        now = time.monotonic()
        if now < self._retry_at or not self._waiting:
            return
        if len(self._waiting) >= self._settings.sink_max_rows or now >= self._oldest_at + age:
            try:
                self._flush(self._waiting[: self._settings.sink_max_rows])
            except UnavailableError as error:
                self._retry_later(str(error))

    def _hold_back(self) -> None:
        """Read nothing while a full batch waits."""
        full = len(self._waiting) >= self._settings.sink_max_rows
        paused = self._inbox.assigned if full else frozenset()
        for partition in paused:  # again each turn: a partition that left and came back is no longer paused
            self._inbox.pause(partition)
        for partition in (self._paused - paused) & self._inbox.assigned:
            self._inbox.resume(partition)
        self._paused = paused

    def _flush(self, messages: list[Message]) -> None:
        self._insert(messages)
        if self._outbox.flush(self._settings.drain_seconds):
            raise UnavailableError(f"dead letters wait for Kafka: {self._outbox.trouble}")
        del self._waiting[: len(messages)]
        self._backoff.reset()
        self._inbox.commit(self._inbox.positions(messages))

    def _insert(self, messages: list[Message]) -> None:
        """Insert; where the rows are to blame, halve until the bad one stands alone and refuse it."""
        try:
            self._insert_rows([message.value() or b"" for message in messages])
        except BadRowsError as error:
            if len(messages) == 1:
                self._refuse(messages[0], str(error))
                return
            self._pulse.tick()
            middle = len(messages) // 2
            self._insert(messages[:middle])
            self._insert(messages[middle:])

    def _insert_rows(self, values: list[bytes]) -> None:
        table = to_table(values)
        try:
            if self._client is None:
                self._client = clickhouse.connect(self._settings, ANSWER_SECONDS)
            self._client.insert_arrow(TABLE, table, settings=INSERT_SETTINGS)
        except ClickHouseError as error:
            if isinstance(error, Error) and error.code in BAD_DATA_CODES:
                raise BadRowsError(str(error)) from error
            raise UnavailableError(f"ClickHouse: {error}") from error
        self._pulse.count("forwarded", table.num_rows)
        beat = self._pulse.beat
        beat.newest_event = max(beat.newest_event or 0, newest_ms(table, "start_timestamp"))
        beat.newest_received_at = max(beat.newest_received_at or 0, newest_ms(table, "received_at"))

    def _retry_later(self, reason: str) -> None:
        self._retry_at = time.monotonic() + self._backoff.next_delay()
        self._pulse.count("retries")
        self._pulse.state("backing_off", reason.splitlines()[0][:300])
        if self._client is not None:
            self._client.close()
            self._client = None

    def _refuse(self, message: Message, reason: str) -> None:
        self._pulse.count("refused")
        value = message.value() or b""
        letter = DeadLetter("sink", "insert", reason, value, time.time_ns() // 1000, message.topic(), message.partition(), message.offset())
        self._outbox.send_dead_letter(letter)
