"""What the runs left in the event log, as facts."""

import datetime as dt

import dagster as dg
import pytest

from polygon_assets.defs.stream import facts
from polygon_assets.defs.stream.day_closing import Sighting
from polygon_assets.defs.stream.heartbeat_events import EventReporter
from polygon_assets.messages import Heartbeat

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def beat(since: dt.datetime, at: dt.datetime, confirmed: int = 2) -> Heartbeat:
    return Heartbeat(
        "producer",
        f"host:1:{ms(since)}",
        "streaming",
        ms(since),
        ms(at),
        desired=2,
        confirmed=confirmed,
    )


def observe(instance: dg.DagsterInstance, heartbeat: Heartbeat | None) -> None:
    """What a run's supervision writes."""

    def log(event: dg.AssetObservation | dg.AssetMaterialization) -> None:
        instance.report_runless_asset_event(event)

    EventReporter("producer", log, lambda _text: None, lambda: "no broker").observe(heartbeat, 0)


def test_a_producer_is_seen_by_what_its_run_observed_after_the_moment(
    instance: dg.DagsterInstance,
) -> None:
    since, at = NOW - dt.timedelta(hours=3), NOW + dt.timedelta(seconds=1)
    moment = dt.datetime.now(dt.UTC)
    observe(instance, beat(since, at, confirmed=1))
    assert facts.producers_seen(instance, [moment], None) == [Sighting(since, at, 2, 1)]


@pytest.mark.parametrize("hours", [-1, 1])
def test_what_was_observed_before_or_long_after_the_moment_is_not_asked_for(
    instance: dg.DagsterInstance, hours: int
) -> None:
    observe(instance, beat(NOW, NOW))
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    assert facts.producers_seen(instance, [moment], None) == []


def test_an_observation_without_a_heartbeat_shows_no_producer(instance: dg.DagsterInstance) -> None:
    moment = dt.datetime.now(dt.UTC)
    observe(instance, None)
    assert facts.producers_seen(instance, [moment], None) == []


def test_a_producer_that_dagster_did_not_start_is_seen_by_its_last_heartbeat(
    instance: dg.DagsterInstance,
) -> None:
    since = NOW - dt.timedelta(hours=16)
    assert facts.producers_seen(instance, [NOW], beat(since, NOW)) == [Sighting(since, NOW, 2, 2)]
