"""Whether something was streamed and never stored, by what ClickHouse knows."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.messages import Gap
from polygon_assets.settings import Settings
from polygon_assets.streaming.broker_loss import report_unstored
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets_tests.unit.streaming.producer_rig import FakeDelivery, FakePublisher
from polygon_assets_tests.unit.streaming.samples import START_MS


def gaps_for(streamed: int | None, stored: int | None) -> list[Gap]:
    """What is reported where the heartbeats and the table have these newest seconds."""
    client: Any = SimpleNamespace(
        query=lambda *_, **__: SimpleNamespace(
            result_rows=[(streamed and START_MS - 60_000, streamed, stored)]
        )
    )
    delivery = FakeDelivery(Settings())
    report_unstored(
        cast(Client, client),
        cast(Delivery, delivery),
        cast(HeartbeatPublisher, FakePublisher()),
        [],
    )
    return delivery.gaps


def test_what_was_streamed_after_the_newest_stored_second_is_a_gap() -> None:
    [gap] = gaps_for(START_MS + 60_000, START_MS)
    assert (gap.reason, gap.since, gap.until) == ("broker", START_MS, START_MS + 61_000)


def test_where_nothing_was_ever_stored_all_that_was_streamed_is_a_gap() -> None:
    [gap] = gaps_for(START_MS, None)
    assert (gap.since, gap.until) == (START_MS - 60_000, START_MS + 1_000)


@pytest.mark.parametrize(
    ("streamed", "stored"),
    [
        pytest.param(START_MS, START_MS, id="all is stored"),
        pytest.param(START_MS, START_MS + 5_000, id="the last heartbeat is older than the end"),
        pytest.param(None, START_MS, id="no heartbeat was stored"),
        pytest.param(None, None, id="a new installation"),
    ],
)
def test_without_proof_of_a_loss_nothing_is_reported(
    streamed: int | None, stored: int | None
) -> None:
    assert gaps_for(streamed, stored) == []
