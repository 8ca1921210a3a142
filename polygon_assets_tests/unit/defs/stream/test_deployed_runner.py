"""A run that follows the heartbeats of a program that Kubernetes runs."""

import time

import pytest

from polygon_assets.defs.graph.resources import StreamPrograms
from polygon_assets.defs.stream import heartbeat_listener
from polygon_assets.defs.stream.deployed_runner import DeployedRunner
from polygon_assets.defs.stream.heartbeat_listener import HeartbeatListener
from polygon_assets.defs.stream.runners import runner_for
from polygon_assets.defs.stream.supervision import Limits, Supervision
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings

SETTINGS = Settings(stream_runner="kubernetes", producer_copies=2)


class Reporter:
    def __init__(self) -> None:
        self.observed: list[str | None] = []

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:
        assert restarts == 0
        self.observed.append(heartbeat.instance if heartbeat else None)

    def log(self, message: str) -> None:
        raise AssertionError(message)


def follow(monkeypatch: pytest.MonkeyPatch, *beats: Heartbeat) -> HeartbeatListener:
    """A listener to which these heartbeats have just come."""
    monkeypatch.setattr(heartbeat_listener, "follow_heartbeats", lambda *_: beats)
    listener = HeartbeatListener(SETTINGS, "producer", lambda _: None)
    listener._follow()
    return listener


def test_the_leaders_heartbeat_is_observed_and_nothing_is_ended_with_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader, standby = (Heartbeat("producer", f"pod-{n}:7:1", "streaming", 0, n) for n in (1, 2))
    standby.is_standby = True
    listener, reporter = follow(monkeypatch, leader, standby), Reporter()
    lines: list[str] = []
    runner = runner_for(SETTINGS, "producer", StreamPrograms(), listener, lines.append)
    limits = Limits(grace_seconds=0.1, poll_seconds=0.01)

    Supervision(runner, listener, reporter, lambda _: len(reporter.observed) > 3, limits).run()

    assert set(reporter.observed) == {"pod-1:7:1"}
    assert lines == ["its Deployment runs it; this run follows its heartbeats"]


def test_a_pod_whose_heartbeats_end_counts_no_longer_and_its_successor_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = (Heartbeat("producer", f"pod-{n}:7:1", "streaming", 0, n) for n in (1, 2))
    listener = follow(monkeypatch, old)
    runner = DeployedRunner(listener, lambda _: None)
    assert [copy.process for copy in runner.copies()] == ["pod-1:7"]
    later = time.monotonic() + 16.0
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert runner.copies() == []
    monkeypatch.setattr(heartbeat_listener, "follow_heartbeats", lambda *_: [new])
    listener._follow()
    [copy] = runner.copies()
    assert (copy.process, copy.ran_seconds) == ("pod-2:7", 0.0)
