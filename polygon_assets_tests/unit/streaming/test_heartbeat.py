"""When the heartbeats of a program end because its loop hangs.

The heartbeats of real programs belong to processes/, what they mean to unit/inspection.
"""

import pytest

from polygon_assets.settings import Settings
from polygon_assets.streaming.heartbeat import HUNG_SECONDS, HeartbeatPublisher

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
