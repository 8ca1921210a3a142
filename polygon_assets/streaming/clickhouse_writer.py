"""One batch on its way into `market.stock_aggregates`: as columns, with bad rows singled out.

When and what to insert is the sink's decision.
"""

import threading
import time
from collections.abc import Callable, Sequence

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error
from confluent_kafka import Message

from polygon_assets.clients import clickhouse
from polygon_assets.messages import DeadLetter
from polygon_assets.settings import Settings
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.rows import BadRowsError, newest_ms, to_table

TABLE = "market.stock_aggregates"
ANSWER_SECONDS = 15
INSERT_SETTINGS = {"throw_on_max_partitions_per_insert_block": 0}
"""More than 100 trading days in one batch are unusual, not wrong; refused, such a batch would be tried for ever."""

BAD_DATA_CODES = frozenset({6, 26, 27, 38, 41, 53, 69, 70, 72, 117, 131, 349, 407, 469})
"""ClickHouse errors that blame the rows: cannot parse, convert or represent them, a constraint. Any other may pass and is tried again."""
MOST_REFUSED = 200
"""When so many rows of a batch are refused and not one is taken, the table is to blame, and the rows must not be thrown away."""

Refusal = tuple[Message, str]


class RowsRefusedError(BadRowsError):
    """ClickHouse blames the rows."""


class UnavailableError(Exception):
    """ClickHouse does not take rows now; the rows are not to blame."""


class ClickHouseWriter:
    """A connection to ClickHouse, made when needed and anew after problem. Used by one thread at a time."""

    def __init__(
        self, settings: Settings, publisher: HeartbeatPublisher, delivery: Delivery
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._delivery = delivery
        self._client: Client | None = None
        self._taken = 0
        """Rows of this batch that ClickHouse has taken."""

    def insert(self, messages: Sequence[Message]) -> int:
        """Return when every message is a row or a dead letter that Kafka has: how many are dead letters.

        Raises UnavailableError; all may then be tried again.
        """
        refusals: list[Refusal] = []
        self._taken = 0
        try:
            self._insert(messages, refusals)
        except UnavailableError:
            self._disconnect()
            raise
        for message, reason in refusals:
            self._refuse(message, reason)
        if self._delivery.flush(self._settings.drain_seconds):
            raise UnavailableError(f"dead letters wait for Kafka: {self._delivery.problem}")
        return len(refusals)

    def _insert(self, messages: Sequence[Message], refusals: list[Refusal]) -> None:
        """Insert; where the rows are to blame, halve until the bad one stands alone."""
        try:
            self._insert_rows([message.value() or b"" for message in messages])
        except BadRowsError as error:
            if len(messages) > 1:
                middle = len(messages) // 2
                self._insert(messages[:middle], refusals)
                self._insert(messages[middle:], refusals)
                return
            refusals.append((messages[0], str(error)))
            if (
                isinstance(error, RowsRefusedError)
                and len(refusals) >= MOST_REFUSED
                and not self._taken
            ):
                raise UnavailableError(
                    f"ClickHouse refuses every row; has {TABLE} changed? {error}"
                ) from error

    def _insert_rows(self, values: list[bytes]) -> None:
        table = to_table(values)
        try:
            if self._client is None:
                self._client = clickhouse.connect(self._settings, ANSWER_SECONDS)
            self._client.insert_arrow(TABLE, table, settings=INSERT_SETTINGS)
        except ClickHouseError as error:
            if isinstance(error, Error) and error.code in BAD_DATA_CODES:
                raise RowsRefusedError(str(error)) from error
            raise UnavailableError(f"ClickHouse: {error}") from error
        self._taken += table.num_rows
        beat = self._publisher.beat
        beat.newest_event = max(beat.newest_event or 0, newest_ms(table, "start_timestamp"))
        beat.newest_received_at = max(beat.newest_received_at or 0, newest_ms(table, "received_at"))

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _refuse(self, message: Message, reason: str) -> None:
        self._publisher.refusal(reason)
        value = message.value() or b""
        letter = DeadLetter(
            "sink",
            "insert",
            reason,
            value,
            time.time_ns() // 1000,
            message.topic(),
            message.partition(),
            message.offset(),
        )
        self._delivery.send_dead_letter(letter)


class Insertion(threading.Thread):
    """An insert in the background: reading and decoding go on while ClickHouse works. Not waited for when the process ends."""

    def __init__(self, messages: list[Message], insert: Callable[[Sequence[Message]], int]) -> None:
        super().__init__(name="insertion", daemon=True)
        self.messages = messages
        self._insert = insert
        self._refused = 0
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._refused = self._insert(self.messages)
        except Exception as error:  # noqa: BLE001  # raised again by outcome(), in the thread that can do something about it
            self._error = error

    def outcome(self) -> int:
        """How many messages were refused. Raises what the insert raised."""
        if self._error is not None:
            raise self._error
        return self._refused
