"""Loads DEAD_LETTER_TOPIC into `market.dead_letters`, in a thread of its own beside the sink.

Add how letters are stored here; refusing them belongs to the programs, sending them to `delivery`,
their replay to `dead_letters`. The thread commits after the insert, and loading a letter twice
changes nothing. It touches nothing of the sink's, so that the sink's loop never waits for it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from polygon_assets.clients import clickhouse
from polygon_assets.messages import (
    LARGEST_INT64,
    LATEST_MS,
    UNREADABLE,
    DeadLetter,
    decode_dead_letter,
    encode,
)
from polygon_assets.serving.dead_letters import INGEST_TABLE, UNKNOWN
from polygon_assets.settings import Settings
from polygon_assets.streaming.backoff import Backoff
from polygon_assets.streaming.batch_loop import LONGEST_RETRY_SECONDS
from polygon_assets.streaming.clickhouse_writer import ANSWER_SECONDS
from polygon_assets.streaming.consumer import UNASSIGNED, TopicConsumer
from polygon_assets.topics import DEAD_LETTER_GROUP, DEAD_LETTER_TOPIC

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from confluent_kafka import Message

READ_MESSAGES = 5_000
READ_SECONDS = 0.5
END_SECONDS = 6.0
"""Longer than a consumer takes to leave its group. A longer insert ends with the process, and the
next start reads its letters again."""
LARGEST_INT32 = 2**31 - 1
MOST_PARTS = 10_000
"""More than 2 GB; the largest frame of the vendor is a few megabytes."""
LATEST_US = 1000 * LATEST_MS

_log = logging.getLogger("dead_letters")


class DeadLetterLoader:
    """The thread; it runs inside its owner's `with` block.

    The owner calls `raise_error` in its loop: an unexpected error must end the program, which the
    supervisor then starts again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._waiting: list[Message] = []
        """Read and not stored yet."""
        self._paused: frozenset[int] = frozenset()
        self._problem = UNASSIGNED
        """Of the consumer, as it was logged."""
        self._backoff = Backoff(longest=LONGEST_RETRY_SECONDS)
        self._retry_at = 0.0
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="dead letters", daemon=True)
        self._stored = 0
        self._retries = 0
        self._losses = 0
        """How often the broker lost letters before they were read: nothing else knows of them."""

    def __enter__(self) -> "DeadLetterLoader":
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """End the thread after its current insert; what it has read is read again later."""
        self._ending.set()
        self._thread.join(END_SECONDS)

    def counters(self) -> dict[str, int]:
        """Messages stored, inserts tried again and losses, without zeros; no outcomes."""
        numbers = {
            "dead_letters": self._stored,
            "dead_letter_retries": self._retries,
            "dead_letter_losses": self._losses,
        }
        return {name: number for name, number in numbers.items() if number}

    def raise_error(self) -> None:
        """Raise the error that ended the thread, if there is one."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with closing(
                TopicConsumer(self._settings, DEAD_LETTER_GROUP, DEAD_LETTER_TOPIC)
            ) as consumer:
                while not self._ending.is_set():
                    self._turn(consumer)
        except Exception as error:  # noqa: BLE001  # raise_error() raises it in the owner's thread
            self._error = error
        finally:
            self._disconnect()

    def _turn(self, consumer: TopicConsumer) -> None:
        self._waiting.extend(consumer.read(READ_MESSAGES, READ_SECONDS))
        self._losses += consumer.take_loss()
        if consumer.problem not in ("", self._problem):
            _log.warning("%s: %s", DEAD_LETTER_TOPIC, consumer.problem)
        self._problem = consumer.problem
        if self._waiting and time.monotonic() >= self._retry_at:
            self._insert(consumer)
        self._pause_while_waiting(consumer)

    def _pause_while_waiting(self, consumer: TopicConsumer) -> None:
        """Read nothing more while letters wait; polling goes on, which keeps the membership."""
        paused = consumer.assigned if self._waiting else frozenset()
        # Each turn: a partition that was revoked and assigned again is no longer paused.
        for partition in paused:
            consumer.pause(partition)
        for partition in (self._paused - paused) & consumer.assigned:
            consumer.resume(partition)
        self._paused = paused

    def _insert(self, consumer: TopicConsumer) -> None:
        """Store and commit what waits; when ClickHouse does not take it, wait for the next try."""
        try:
            self._store([to_line(message, time.time_ns() // 1000) for message in self._waiting])
        except ClickHouseError as error:
            self._disconnect()
            self._retries += 1
            self._retry_at = time.monotonic() + self._backoff.next_delay()
            _log.warning(
                "%d dead letters wait for ClickHouse (`polygon-assets migrate` creates a missing "
                "table): %.300s",
                len(self._waiting),
                error,
            )
            return
        consumer.commit(consumer.positions(self._waiting))
        self._stored += len(self._waiting)
        self._waiting = []
        self._backoff.reset()

    def _store(self, lines: Sequence[bytes]) -> None:
        if self._client is None:
            self._client = clickhouse.connect(self._settings, ANSWER_SECONDS)
        self._client.raw_insert(INGEST_TABLE, insert_block=b"\n".join(lines), fmt="JSONEachRow")

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def to_line(message: "Message", now_us: int) -> bytes:
    """The JSON row of one message; also a message that is no dead letter is kept, as it is."""
    value = message.value() or b""
    try:
        letter = decode_dead_letter(value)
    except UNREADABLE as error:
        return _unknown(message, value, f"not a dead letter: {error}", now_us)
    if not fits(letter):
        return _unknown(message, value, "not a dead letter: a number is out of its range", now_us)
    # Encoded again: the table would refuse a key that the message has twice.
    return encode(letter)


def fits(letter: DeadLetter) -> bool:
    """Whether the table can hold the numbers of a letter; one it cannot would block the others."""
    return (
        0 <= letter.refused_at < LATEST_US
        and 0 <= letter.part <= letter.parts <= MOST_PARTS
        and 0 <= (letter.partition or 0) <= LARGEST_INT32
        and 0 <= (letter.offset or 0) <= LARGEST_INT64
        and 0 <= (letter.epoch or 0) < LATEST_MS
    )


def _unknown(message: "Message", value: bytes, reason: str, now_us: int) -> bytes:
    place = {"topic": DEAD_LETTER_TOPIC, "partition": message.partition()}
    return encode(
        {
            "program": UNKNOWN,
            "stage": UNKNOWN,
            "reason": reason[:1000],
            "raw": value,
            "refused_at": now_us,
            "offset": message.offset(),
            **place,
        }
    )
