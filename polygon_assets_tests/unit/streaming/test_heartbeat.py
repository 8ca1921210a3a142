"""When the heartbeats of a program end because its loop hangs, and what counts as a restart.

The heartbeats of real programs belong to processes/, what they mean to unit/inspection.
"""

import pytest
from confluent_kafka import KafkaError, KafkaException

from polygon_assets.clients import kafka
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings
from polygon_assets.streaming.heartbeat import HUNG_SECONDS, HeartbeatPublisher, restarts_after

SETTINGS = Settings.model_validate({"kafka_bootstrap_servers": "127.0.0.1:1"})
TICKED = 1_000.0
"""The loop's last turn, monotonic."""


@pytest.fixture
def publisher() -> HeartbeatPublisher:
    """Not started, an hour after its start; its loop turned last at TICKED."""
    built = HeartbeatPublisher("sink", SETTINGS)
    built.published.sent_at += 3_600_000
    built._ticked = TICKED
    return built


def acknowledge(publisher: HeartbeatPublisher, seconds_before: float) -> None:
    publisher.beat.acknowledged_at = publisher.published.sent_at - round(1000 * seconds_before)


def test_a_loop_that_does_not_turn_hangs(publisher: HeartbeatPublisher) -> None:
    acknowledge(publisher, 1)
    assert not publisher._is_hung(TICKED + HUNG_SECONDS - 1)
    assert publisher._is_hung(TICKED + HUNG_SECONDS + 1)
    assert publisher._is_hung(TICKED + 1_000)
    publisher._ticked = TICKED + 1_000
    assert not publisher._is_hung(TICKED + 1_001)


def test_a_loop_that_waits_for_a_kafka_that_is_away_does_not_hang_until_it_is_back(
    publisher: HeartbeatPublisher,
) -> None:
    acknowledge(publisher, 3_000)
    assert not publisher._is_hung(TICKED + 3_000)
    back = TICKED + 3_001
    acknowledge(publisher, 1)
    assert not publisher._is_hung(back + HUNG_SECONDS - 2)
    assert publisher._is_hung(back + HUNG_SECONDS)


def test_a_broker_that_never_was_there_is_away_too(publisher: HeartbeatPublisher) -> None:
    assert publisher.beat.acknowledged_at is None
    assert not publisher._is_hung(TICKED + 3_000)


def test_a_heartbeat_that_the_client_itself_refuses_is_named_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class RefusingClient:
        def produce(self, *_: object, **__: object) -> None:
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

        def poll(self, _seconds: float) -> None:
            """It reports nothing."""

    monkeypatch.setattr(kafka, "connect_producer", lambda *_, **__: RefusingClient())
    HeartbeatPublisher("sink", SETTINGS)._publish()
    assert "a heartbeat was not delivered: Kafka at 127.0.0.1:1 does not let user" in caplog.text


NOON = 1_795_194_000_000
"""Of a trading day in New York."""


def process(number: int, seconds_before: int, restarts: int = 0) -> Heartbeat:
    sent_at = NOON - 1000 * seconds_before
    return Heartbeat("filter", f"host:{number}:1", "streaming", sent_at, sent_at, restarts=restarts)


@pytest.mark.parametrize(
    ("others", "copies", "restarts"),
    [
        ([], 1, 0),
        ([process(1, 5, restarts=2)], 1, 3),
        ([process(1, 90_000, restarts=2)], 1, 0),
        # The second and the third of three copies are no restarts; a fourth process replaces one.
        ([process(1, 5)], 3, 0),
        ([process(1, 5), process(2, 5)], 3, 0),
        ([process(1, 40), process(2, 5, restarts=1), process(3, 6)], 3, 2),
        ([process(1, 90_000), process(2, 90_000), process(3, 90_000)], 3, 0),
    ],
)
def test_a_start_is_a_restart_when_as_many_processes_as_copies_ran_before_on_that_day(
    others: list[Heartbeat], copies: int, restarts: int
) -> None:
    assert restarts_after(others, process(9, 0), MarketCalendar("NYSE"), copies) == restarts
