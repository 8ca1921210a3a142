"""How fast the seconds of a fill are published, and what they wait for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from polygon_assets.clients import kafka
from polygon_assets.gap_filling import GapFillError, publication
from polygon_assets.gap_filling.publication import Publication
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.kafka_reader import Positions
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTERED_TOPIC, RAW_TOPIC
from polygon_assets_tests.unit.streaming.samples import raw_aggregate

Lags = tuple[int, int]
"""How many messages wait for the filter, and for the sink."""


class Broker:
    """Remembers how many rows each portion had."""

    def __init__(self) -> None:
        self.portions, self._rows = list[int](), 0

    def produce(self, *_: object) -> None:
        self._rows += 1

    def flush(self, _seconds: float) -> int:
        self.portions.append(self._rows)
        self._rows = 0
        return 0


@dataclass
class Clock:
    """A clock that only a pause moves."""

    now: float = 100.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def publish(monkeypatch: pytest.MonkeyPatch, rows: int, *lags: Lags) -> tuple[Broker, Clock]:
    """Publish rows, 1,000 a second at most; the lags of each look, of which the last one stays."""
    broker, clock, left = Broker(), Clock(), list(lags)

    def positions(_settings: Settings, _group: str, topic: str) -> Positions:
        of_filter, of_sink = left[0]
        if topic == FILTERED_TOPIC and len(left) > 1:
            left.pop(0)
        return Positions({0: of_filter if topic == RAW_TOPIC else of_sink}, {0: 0})

    monkeypatch.setattr(kafka, "connect_producer", lambda *_, **__: broker)
    monkeypatch.setattr(publication, "positions", positions)
    monkeypatch.setattr(publication, "time", clock)
    Publication(Settings(gap_fill_rows_per_second=1_000)).publish([raw_aggregate()] * rows)
    return broker, clock


def test_rows_are_published_in_portions_of_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, clock = publish(monkeypatch, 250, (500, 500))
    assert broker.portions == [100, 100, 50]
    assert clock.pauses == pytest.approx([0.1, 0.1, 0.1])


def test_nothing_is_published_while_more_than_a_second_of_it_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, clock = publish(monkeypatch, 250, (5_000, 0), (0, 1_001), (500, 500))
    assert broker.portions == [100, 100, 50]
    assert clock.pauses == pytest.approx([0.5, 0.5, 0.1, 0.1, 0.1])


def test_the_lag_is_looked_at_again_after_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, clock = publish(monkeypatch, 1_500, (0, 0), (1_001, 0), (0, 0))
    assert broker.portions == [100] * 15
    assert clock.pauses == pytest.approx([0.1] * 10 + [0.5] + [0.1] * 5)


def test_where_filter_or_sink_stands_still_the_gap_stays_in_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(GapFillError, match="1,001 messages still wait for filter and sink"):
        publish(monkeypatch, 1, (1_001, 0))


def test_an_unknown_lag_is_no_licence_to_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    def positions(*_: object) -> Positions:
        raise KafkaUnreachableError("no broker answers")

    monkeypatch.setattr(kafka, "connect_producer", lambda *_, **__: Broker())
    monkeypatch.setattr(publication, "positions", positions)
    with pytest.raises(GapFillError, match="lag of filter and sink is unknown: no broker answers"):
        Publication(Settings()).publish([raw_aggregate()])


@pytest.mark.parametrize("is_known_to_the_client", [True, False])
def test_rows_that_kafka_refuses_are_not_taken_for_published(
    monkeypatch: pytest.MonkeyPatch, is_known_to_the_client: bool
) -> None:
    """A refused message is not among those that still wait for their acknowledgement."""
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)

    class RefusingBroker(Broker):
        def __init__(self, on_delivery: Callable[[KafkaError, None], None]) -> None:
            super().__init__()
            self._on_delivery, self._refuses = on_delivery, True

        def produce(self, *values: object) -> None:
            if not self._refuses:
                super().produce(*values)
                return
            self._refuses = False
            if is_known_to_the_client:
                raise KafkaException(error)
            self._on_delivery(error, None)

    def connect(_: Settings, **options: Any) -> RefusingBroker:
        return RefusingBroker(options["on_delivery"])

    monkeypatch.setattr(kafka, "connect_producer", connect)
    monkeypatch.setattr(publication, "positions", lambda *_: Positions({}, {}))
    published = Publication(Settings())
    with pytest.raises(GapFillError, match=f"write topic {RAW_TOPIC}; an administrator must"):
        published.publish([raw_aggregate()])
    published.publish([raw_aggregate()])  # the right was granted meanwhile
