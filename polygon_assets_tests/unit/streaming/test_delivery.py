"""When a message counts as overdue: one that Kafka has not acknowledged for some seconds."""

from collections.abc import Iterable

import pytest

from polygon_assets.clients import kafka
from polygon_assets.settings import Settings
from polygon_assets.streaming import delivery as module
from polygon_assets.streaming.delivery import OVERDUE_SECONDS, Delivery, QueuedMessages
from polygon_assets.topics import RAW_TOPIC


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
