"""The sensor `sink_connectors`: what it shows, when it restarts, and when it gives up.

Requests to Connect belong to unit/clients/test_kafka_connect.py.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from polygon_assets.clients.kafka_connect import ConnectorState, TaskState
from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.connector_supervision import (
    HEALTHY_AFTER,
    MAX_RESTARTS,
    Restarts,
    is_restart_due,
    read_watch,
    sink_connectors,
    still_counting,
)
from polygon_assets.defs.stream.sensors import stream_supervisor
from polygon_assets.settings import Settings
from polygon_assets_tests.connect_stub import RUNNING, ConnectStub, connect_stub, failed
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN
from polygon_assets_tests.unit.defs.ticks import reason, requests, tick

NOW = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
NAME = "polygon_stock_aggregates"


@pytest.fixture
def stub() -> Iterator[ConnectStub]:
    with connect_stub() as server:
        server.states = {NAME: RUNNING, "polygon_dead_letters": RUNNING}
        yield server


def connect(stub: ConnectStub) -> Environment:
    url = stub.settings.kafka_connect_url

    class WithConnect(Environment):
        def settings(self) -> Settings:
            changes = {"sink_runner": "connect", "kafka_connect_url": url}
            return ALWAYS_OPEN.model_copy(update=changes)

    return WithConnect()


def metadata(answer: dg.SensorResult | dg.SkipReason) -> dict[str, Any]:
    """The values of the one observation, which is of the table that the connectors fill."""
    assert isinstance(answer, dg.SensorResult)
    [event] = answer.asset_events
    assert isinstance(event, dg.AssetObservation)
    assert event.asset_key == STOCK_AGGREGATES
    return {name: value.value for name, value in event.metadata.items()}


def cursor(answer: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(answer, dg.SensorResult)
    assert answer.cursor
    return answer.cursor


def test_without_connect_nothing_is_asked(instance: dg.DagsterInstance) -> None:
    assert reason(tick(sink_connectors, instance)).startswith("SINK_RUNNER=program")


def test_the_supervisor_launches_no_sink_where_connect_replaces_it(
    instance: dg.DagsterInstance, stub: ConnectStub
) -> None:
    launched = [run.job_name for run in requests(tick(stream_supervisor, instance, connect(stub)))]
    assert launched == ["run_producer", "run_filter", "run_archiver"]


def test_states_are_observed_at_once_and_again_when_they_change(
    instance: dg.DagsterInstance, stub: ConnectStub
) -> None:
    first = tick(sink_connectors, instance, connect(stub))
    shown = metadata(first)
    assert (shown["state"], shown["tasks"], shown["running_tasks"]) == ("RUNNING", 2, 2)
    assert f"* **{NAME}**: RUNNING on 10.0.0.7:8083" in shown["connectors"]
    same = tick(sink_connectors, instance, connect(stub), cursor(first))
    assert isinstance(same, dg.SensorResult)
    assert same.asset_events == []
    assert reason(same) == "every connector and task is RUNNING"
    stub.states[NAME] = failed()
    changed = metadata(tick(sink_connectors, instance, connect(stub), cursor(same)))
    assert changed["running_tasks"] == 1
    assert f"connector {NAME} task 0 is FAILED (org.apache" in changed["state"]


def test_a_failed_task_is_restarted_once_and_not_at_the_next_tick(
    instance: dg.DagsterInstance, stub: ConnectStub
) -> None:
    stub.states[NAME] = failed()
    answer = tick(sink_connectors, instance, connect(stub))
    assert metadata(answer)["restarts"] == 1
    tick(sink_connectors, instance, connect(stub), cursor(answer))
    assert stub.restarts == [f"{NAME}/restart?includeTasks=true&onlyFailed=true"]


def test_a_refused_restart_counts_too(instance: dg.DagsterInstance, stub: ConnectStub) -> None:
    stub.states[NAME] = failed()
    stub.rebalances = 1
    answer = tick(sink_connectors, instance, connect(stub))
    assert stub.restarts == []
    assert read_watch(cursor(answer)).restarts[NAME].count == 1


def test_a_connect_that_is_away_keeps_the_count(
    instance: dg.DagsterInstance, stub: ConnectStub
) -> None:
    stub.refusal = (500, "")
    assert "HTTP 500" in reason(tick(sink_connectors, instance, connect(stub), '{"restarts":{}}'))


def test_an_unreadable_cursor_begins_anew() -> None:
    assert read_watch("{").restarts == {}


def with_task(state: str) -> ConnectorState:
    return ConnectorState(NAME, "RUNNING", tasks=(TaskState(0, state, "10.0.0.7:8083"),))


@pytest.mark.parametrize(
    ("state", "count", "seconds", "due"),
    [
        ("FAILED", 0, 0, True),
        ("FAILED", 1, 29, False),
        ("FAILED", 1, 30, True),
        ("FAILED", 4, 239, False),
        ("FAILED", 4, 240, True),
        ("FAILED", MAX_RESTARTS, 100_000, False),
        ("RUNNING", 0, 0, False),
        ("PAUSED", 0, 0, False),
    ],
)
def test_what_failed_is_restarted_after_growing_pauses_and_not_for_ever(
    state: str, count: int, seconds: int, due: bool
) -> None:
    known = Restarts(count, NOW - seconds * SECOND) if count else None
    assert is_restart_due(with_task(state), known, NOW) is due


def test_the_count_begins_again_once_a_connector_has_run_for_long_enough() -> None:
    known = {NAME: Restarts(MAX_RESTARTS, NOW - HEALTHY_AFTER)}
    assert still_counting(known, {NAME: with_task("RUNNING")}, NOW) == {}
    assert still_counting(known, {NAME: with_task("FAILED")}, NOW) == known
    earlier = NOW - SECOND
    assert still_counting(known, {NAME: with_task("RUNNING")}, earlier) == known
    assert still_counting(known, {}, NOW) == {}
