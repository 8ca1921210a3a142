"""Inserts one batch into `market.stock_aggregates`, and turns bad rows into dead letters.

Add how rows are inserted here; when and what to insert belongs to
`batch_loop`, and the largest batch is the setting SINK_MAX_ROWS.
"""

import time
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error
from confluent_kafka import Message

from polygon_assets.clients import clickhouse
from polygon_assets.messages import DeadLetter
from polygon_assets.settings import Settings
from polygon_assets.streaming import broker_loss
from polygon_assets.streaming.batch_loop import UnavailableError
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.rows import BadRowsError, newest_ms, to_table

TABLE = "market.stock_aggregates"
ANSWER_SECONDS = 15
INSERT_SETTINGS = {"throw_on_max_partitions_per_insert_block": 0}
"""A batch of more than 100 trading days is unusual, not wrong; refused, it would be retried for
ever."""

BAD_DATA_CODES = frozenset({6, 26, 27, 38, 41, 53, 69, 70, 72, 117, 131, 349, 407, 469})
"""ClickHouse errors that blame the rows: it cannot parse, convert or represent them, or a
constraint fails. Any other error may pass, and the insert is retried."""
MOST_REFUSED = 200
"""When so many rows of a batch are refused and none is accepted, the table is at fault, and the
rows must not be discarded."""

Refusal = tuple[Message, str]


class RowsRefusedError(BadRowsError):
    """ClickHouse refuses the rows for their content."""


class ClickHouseWriter:
    """A connection to ClickHouse, opened when needed and again after an error.

    Used by one thread at a time.
    """

    def __init__(
        self, settings: Settings, publisher: HeartbeatPublisher, delivery: Delivery
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._delivery = delivery
        self._client: Client | None = None
        self._accepted = 0
        """Rows of this batch that ClickHouse has accepted."""

    def insert(self, messages: Sequence[Message]) -> int:
        """Return once every message is a row or a dead letter in Kafka; how many are dead letters.

        Raises UnavailableError; the whole batch may then be retried.
        """
        refusals: list[Refusal] = []
        self._accepted = 0
        try:
            self._insert(messages, refusals)
        except UnavailableError:
            self._disconnect()
            raise
        for message, reason in refusals:
            self._refuse(message, reason)
        self._flush()
        return len(refusals)

    def report_unstored(self, first: Sequence[Message]) -> None:
        """See `broker_loss`; returns once Kafka has the report. Raises UnavailableError."""
        try:
            broker_loss.report_unstored(self._connected(), self._delivery, self._publisher, first)
        except ClickHouseError as error:
            self._disconnect()
            raise UnavailableError(f"ClickHouse: {error}") from error
        self._flush()

    def _insert(self, messages: Sequence[Message], refusals: list[Refusal]) -> None:
        """Insert; where ClickHouse refuses the rows, halve them until the bad one is alone."""
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
                and not self._accepted
            ):
                raise UnavailableError(
                    f"ClickHouse refuses every row; has {TABLE} changed? {error}"
                ) from error

    def _insert_rows(self, values: list[bytes]) -> None:
        table = to_table(values)
        try:
            self._connected().insert_arrow(TABLE, table, settings=INSERT_SETTINGS)
        except ClickHouseError as error:
            if isinstance(error, Error) and error.code in BAD_DATA_CODES:
                raise RowsRefusedError(str(error)) from error
            raise UnavailableError(f"ClickHouse: {error}") from error
        self._accepted += table.num_rows
        beat = self._publisher.beat
        beat.newest_event = max(beat.newest_event or 0, newest_ms(table, "start_timestamp"))
        beat.newest_received_at = max(beat.newest_received_at or 0, newest_ms(table, "received_at"))

    def _flush(self) -> None:
        if self._delivery.flush(self._settings.drain_seconds):
            raise UnavailableError(f"dead letters or gaps wait for Kafka: {self._delivery.problem}")

    def _connected(self) -> Client:
        if self._client is None:
            self._client = clickhouse.connect(self._settings, ANSWER_SECONDS)
        return self._client

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
