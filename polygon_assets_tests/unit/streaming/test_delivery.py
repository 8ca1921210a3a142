"""Which messages are sent again, and when one counts as overdue: not acknowledged for seconds."""

from collections.abc import Iterable

import pytest
from confluent_kafka import KafkaError, KafkaException

from polygon_assets.clients import kafka
from polygon_assets.settings import Settings
from polygon_assets.streaming import delivery as module
from polygon_assets.streaming.delivery import OVERDUE_SECONDS, Delivery, QueuedMessages
from polygon_assets.topics import GAP_TOPIC, RAW_TOPIC


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class SilentClient(list[bytes]):
    """A client whose broker acknowledges nothing: its length is the number that waits."""

    def produce(self, _topic: str, value: bytes, _key: bytes | None) -> None:
        self.append(value)


def test_one_message_of_a_quiet_stream_is_overdue_after_two_seconds(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "connect_producer", lambda *_, **__: SilentClient())
    delivery = Delivery(Settings())

    def overdue_at(moments: Iterable[float]) -> list[bool]:
        seen = []
        for clock.now in moments:
            seen.append(delivery.is_overdue)
        return seen

    assert overdue_at([100.0, 105.0]) == [False, False], "nothing waits"
    assert delivery.send(RAW_TOPIC, b"AAPL", b"{}")
    assert overdue_at([105.2, 106.0, 105.0 + OVERDUE_SECONDS]) == [False, False, False]
    assert overdue_at([105.4 + OVERDUE_SECONDS]) == [True]


def test_a_burst_of_the_whole_market_counts_as_queued_for_the_whole_time(clock: Clock) -> None:
    queued = QueuedMessages()
    seconds = []
    for _ in range(10):
        queued.total += 12_000
        seconds.append(queued.within(2.0))
        clock.now += 1.0
    assert seconds[:3] == [12_000, 24_000, 36_000]
    assert set(seconds[3:]) == {24_000}


def test_a_pause_between_two_looks_makes_no_message_younger(clock: Clock) -> None:
    queued = QueuedMessages()
    queued.total += 5
    assert queued.within(2.0) == 5
    clock.now += 60.0
    queued.total += 1
    assert queued.within(2.0) == 6, "not known when they were queued"
    clock.now += 2.1
    assert queued.within(2.0) == 0


class RefusingClient(SilentClient):
    """A client that knows from its metadata which topics the brokers would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = {RAW_TOPIC}

    def produce(self, topic: str, value: bytes, key: bytes | None) -> None:
        if topic in self.refused:
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
        super().produce(topic, value, key)

    def poll(self, _seconds: float) -> None:
        """It reports nothing."""


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> RefusingClient:
    client = RefusingClient()
    monkeypatch.setattr(kafka, "connect_producer", lambda *_, **__: client)
    return client


def test_what_the_client_itself_refuses_is_named_and_sent_again_each_second(
    clock: Clock, refusing: RefusingClient
) -> None:
    delivery = Delivery(Settings())
    assert delivery.send(RAW_TOPIC, b"AAPL", b"1")
    assert delivery.send(GAP_TOPIC, b"gap", b"2")
    assert f"write topic {RAW_TOPIC}; an administrator must" in delivery.refusal
    assert (list(refusing), delivery.pending) == ([b"2"], 2)
    refusing.refused.clear()
    delivery.serve()
    assert list(refusing) == [b"2"], "not before a second has passed"
    clock.now += 1.0
    delivery.serve()
    assert list(refusing) == [b"2", b"1"]


@pytest.mark.usefixtures("refusing")
def test_refused_messages_are_overdue_however_often_they_are_sent_again(clock: Clock) -> None:
    delivery = Delivery(Settings())
    assert delivery.send(RAW_TOPIC, b"AAPL", b"1")
    for _ in range(30):
        clock.now += 0.1
        assert delivery.pending == 1
        is_overdue = delivery.is_overdue
        delivery.serve()
    assert is_overdue


def test_refused_messages_are_bounded_like_the_queue_and_sent_again_in_portions(
    clock: Clock, refusing: RefusingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REFUSED", 5)
    monkeypatch.setattr(module, "RESENT_AT_ONCE", 2)
    delivery = Delivery(Settings())
    assert [delivery.send(RAW_TOPIC, None, b"%d" % number) for number in range(6)] == [
        *[True] * 5,
        False,
    ]
    refusing.refused.clear()
    clock.now += 1.0
    sent = []
    for _ in range(3):
        delivery.serve()
        sent.append(len(refusing))
    assert sent == [2, 4, 5]


def test_a_topic_that_is_refused_holds_up_no_other(
    clock: Clock, refusing: RefusingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESENT_AT_ONCE", 2)
    refusing.refused.add(GAP_TOPIC)
    delivery = Delivery(Settings())
    for number in range(3):
        assert delivery.send(RAW_TOPIC, None, b"%d" % number)
    assert delivery.send(GAP_TOPIC, None, b"gap")
    refusing.refused.remove(GAP_TOPIC)
    for _ in range(2):
        clock.now += 1.0
        delivery.serve()
    assert list(refusing) == [b"gap"]
