"""Heartbeats kept in ClickHouse: which ones, as they were, and while ClickHouse is away."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from polygon_assets.defs.stream.heartbeat_recorder import HeartbeatRecorder, is_kept
from polygon_assets.inspection.tables import heartbeats_between
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import eventually

NOW = dt.datetime(2026, 11, 20, 21, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def beat(at: dt.datetime = NOW, **changes: Any) -> Heartbeat:
    """A heartbeat of a producer that was started an hour ago, with all fields set."""
    plain = Heartbeat(
        "producer",
        "host:1:1",
        "streaming",
        ms(NOW - 3600 * SECOND),
        ms(at),
        detail="it's “fine”",
        epoch=ms(NOW - 3000 * SECOND),
        newest_event=ms(at - SECOND),
        newest_received_at=ms(at),
        complete_until=ms(at),
        rate=12.5,
        lag=3,
        counters={"read": 2**40, "forwarded": 7},
        restarts=2,
        arrival_delay_ms=-8000,
        desired=2,
        confirmed=2,
        subscriptions_version="abc",
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(
        tmp_path_factory.mktemp("stack"), only=("clickhouse",), fixed_ports=False
    ) as running:
        yield running


@pytest.mark.parametrize(
    ("seconds", "changes", "kept"),
    [
        (1, {}, False),
        (1, {"counters": {"read": 1}, "rate": 1.0, "detail": "x"}, False),
        (9.999, {}, False),
        (10, {}, True),
        (1, {"confirmed": 1}, True),
        (1, {"desired": 3}, True),
        (1, {"state": "backing_off"}, True),
        (1, {"instance": "host:2:2"}, True),
        (1, {"epoch": 5}, True),
    ],
)
def test_a_heartbeat_is_kept_every_ten_seconds_and_at_a_change(
    seconds: float, changes: dict[str, Any], kept: bool
) -> None:
    assert is_kept(beat(NOW + seconds * SECOND, **changes), beat()) is kept
    assert is_kept(beat(), None)


def test_kept_heartbeats_come_back_as_they_were_also_when_stored_twice(stack: Stack) -> None:
    sent = [
        beat(NOW + 10 * number * SECOND, state=state)
        for number, state in enumerate(("starting", "streaming", "stopped"))
    ]
    bare = Heartbeat("filter", "host:9:9", "starting", ms(NOW), ms(NOW))
    for _ in range(2):
        with HeartbeatRecorder(stack.settings()) as recorder:
            for heartbeat in (*sent, bare):
                recorder.take(heartbeat)
    interval = (NOW, NOW + 20 * SECOND)
    assert heartbeats_between(stack.settings(), "producer", [interval]) == sent
    assert heartbeats_between(stack.settings(), "producer", [(NOW + SECOND, NOW)]) == []
    assert heartbeats_between(stack.settings(), "filter", [interval]) == [bare]


def test_heartbeats_wait_while_clickhouse_is_away(stack: Stack) -> None:
    later = NOW + dt.timedelta(days=1)
    with HeartbeatRecorder(stack.settings()) as recorder:
        recorder.take(beat(later))
        stored = partial(
            heartbeats_between, stack.settings(), "producer", [(later, later + 60 * SECOND)]
        )
        eventually(stored, "the first heartbeat")
        stack.kill("clickhouse")
        recorder.take(beat(later + 10 * SECOND))
        eventually(lambda: recorder._error, "an insert failed")
        stack.restart("clickhouse")
        eventually(lambda: len(stored()) == 2, "the second heartbeat")


def test_the_heartbeat_before_a_change_is_kept_too() -> None:
    recorder = HeartbeatRecorder(Settings())
    beats = [beat(NOW + second * SECOND, confirmed=2 - (second == 7)) for second in range(9)]
    for heartbeat in beats:
        recorder.take(heartbeat)
    assert list(recorder._kept) == [beats[0], *beats[6:9]]


def test_copies_that_work_side_by_side_are_no_change_of_each_other() -> None:
    recorder = HeartbeatRecorder(Settings())
    for second in range(21):
        for name in ("host:1:1", "host:2:1"):
            at = NOW + second * SECOND
            recorder.take(Heartbeat("sink", name, "streaming", ms(NOW), ms(at), lag=1))
    kept = [((beat.sent_at - ms(NOW)) // 1000, beat.instance[:6]) for beat in recorder._kept]
    assert kept == [(second, name) for second in (0, 10, 20) for name in ("host:1", "host:2")]


def test_any_number_of_ended_copies_keeps_the_memory_bounded() -> None:
    recorder = HeartbeatRecorder(Settings())
    for number in range(50):
        at = ms(NOW + number * dt.timedelta(minutes=9))
        recorder.take(Heartbeat("sink", f"host:{number}:1", "streaming", at, at))
    assert len(recorder._previous) == len(recorder._last) == 2


def test_without_a_change_nothing_but_every_tenth_second_is_kept() -> None:
    recorder = HeartbeatRecorder(Settings())
    for second in range(31):
        recorder.take(beat(NOW + second * SECOND))
    assert [(kept.sent_at - ms(NOW)) // 1000 for kept in recorder._kept] == [0, 10, 20, 30]
