"""One batch into ClickHouse: refused rows, errors worth a retry, and a table that refuses all.

The sink as a process belongs to processes/test_sink.py.
"""

from typing import Any, cast

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Message

from polygon_assets.events.validation import to_row
from polygon_assets.messages import DeadLetter, Heartbeat, encode
from polygon_assets.settings import Settings
from polygon_assets.streaming.batch_loop import Handover, UnavailableError
from polygon_assets.streaming.clickhouse_writer import MOST_REFUSED, ClickHouseWriter
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

VIOLATED_CONSTRAINT, UNKNOWN_TABLE = 469, 60


class FakeMessage:
    """The part of librdkafka's message that the writer uses."""

    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def value(self) -> bytes:
        return self._value

    def topic(self) -> str:
        return "topic"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


class FakeDelivery:
    """A delivery that keeps every dead letter in `letters`."""

    problem = ""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def send_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def flush(self, _seconds: float) -> int:
        return 0


class FakePublisher:
    """A heartbeat that is never published."""

    def __init__(self) -> None:
        self.beat = Heartbeat("sink", "host:1:2", "streaming", started_at=0, sent_at=0, counters={})

    def refusal(self, reason: str) -> None:
        self.beat.last_refusal = reason


class FakeClient:
    """A table that refuses the rows of some symbols, with an error code."""

    def __init__(self, code: int, *refused: str) -> None:
        self._code = code
        self._refused = set(refused)
        self.rows: list[str] = []

    def insert_arrow(self, _table: str, rows: Any, **_: Any) -> None:
        symbols = rows["symbol"].to_pylist()
        if self._refused & set(symbols):
            raise DatabaseError(f"Code: {self._code}", code=self._code)
        self.rows.extend(symbols)

    def close(self) -> None:
        """Nothing to close."""


def messages(*symbols: str) -> list[Message]:
    return [
        cast(Message, FakeMessage(offset, encode(to_row(raw_aggregate(symbol=symbol)))))
        for offset, symbol in enumerate(symbols)
    ]


class Rig:
    """A writer with its fakes."""

    def __init__(self, client: FakeClient) -> None:
        self.client, self.delivery, self.publisher = client, FakeDelivery(), FakePublisher()
        self.inserter = ClickHouseWriter(
            Settings(), cast(HeartbeatPublisher, self.publisher), cast(Delivery, self.delivery)
        )
        self.inserter._client = client  # type: ignore[assignment]


def test_only_the_refused_rows_become_dead_letters() -> None:
    rig = Rig(FakeClient(VIOLATED_CONSTRAINT, "BAD"))
    assert rig.inserter.insert(messages("A", "BAD", "B", "C", "BAD")) == 2
    assert rig.client.rows == ["A", "B", "C"]
    assert [letter.offset for letter in rig.delivery.letters] == [1, 4]
    assert "Code: 469" in rig.publisher.beat.last_refusal
    assert rig.publisher.beat.newest_event == START_MS


def test_a_temporary_error_refuses_no_row() -> None:
    rig = Rig(FakeClient(UNKNOWN_TABLE, "A"))
    with pytest.raises(UnavailableError, match="Code: 60"):
        rig.inserter.insert(messages("A", "B"))
    assert rig.delivery.letters == []


def test_a_table_that_refuses_every_row_throws_none_away() -> None:
    rig = Rig(FakeClient(VIOLATED_CONSTRAINT, "A"))
    with pytest.raises(UnavailableError, match="ClickHouse refuses every row"):
        rig.inserter.insert(messages(*["A"] * (MOST_REFUSED + 1)))
    assert rig.delivery.letters == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"{",
        encode(to_row(raw_aggregate())).replace(b"1795000000000", b"1000"),
        encode(to_row(raw_aggregate())).replace(b"1795000000000", b"9999999999000"),
    ],
)
def test_a_batch_of_garbage_does_not_block_the_sink(garbage: bytes) -> None:
    """The symbol stands for the table's constraint, which must not have to judge such rows."""
    rig = Rig(FakeClient(VIOLATED_CONSTRAINT, "AAPL"))
    rig.inserter.insert(
        [cast(Message, FakeMessage(offset, garbage)) for offset in range(MOST_REFUSED + 1)]
    )
    assert len(rig.delivery.letters) == MOST_REFUSED + 1


def test_a_handover_raises_its_error_in_the_thread_that_reads_the_outcome() -> None:
    def fail(_: object) -> int:
        raise UnavailableError("away")

    handover = Handover(messages("A"), fail)
    handover.start()
    handover.join()
    with pytest.raises(UnavailableError, match="away"):
        handover.outcome()
