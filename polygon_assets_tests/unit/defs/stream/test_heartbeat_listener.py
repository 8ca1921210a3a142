"""The heartbeats that a supervision keeps: the newest of each process, of a bounded number."""

import socket
from types import SimpleNamespace
from typing import Literal

import pytest

from polygon_assets.defs.stream import heartbeat_listener
from polygon_assets.defs.stream.heartbeat_listener import MOST_PROCESSES, HeartbeatListener
from polygon_assets.inspection.streams import LONG_TAIL, TAIL
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings


def test_any_number_of_instances_keeps_the_memory_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def beats(*_: object) -> list[Heartbeat]:
        names = [f"other:{number}" for number in range(2 * MOST_PROCESSES)]
        names[1_500:1_500] = [f"{socket.gethostname()}:7"]
        return [Heartbeat("sink", f"{name}:1", "streaming", 0, n) for n, name in enumerate(names)]

    monkeypatch.setattr(heartbeat_listener, "follow_heartbeats", beats)
    listener = HeartbeatListener(Settings(), "sink", lambda _: None)
    listener._follow()
    assert len(listener._newest) == MOST_PROCESSES
    newest = listener.newest(f"{socket.gethostname()}:7")
    assert newest is not None
    assert newest.sent_at == 1_500


def test_heartbeats_that_are_read_again_do_not_hide_a_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    beats = [Heartbeat("sink", "host:7:1", "streaming", 0, sent_at) for sent_at in (1, 2)]
    monkeypatch.setattr(heartbeat_listener, "follow_heartbeats", lambda *_: beats)
    monkeypatch.setattr(heartbeat_listener, "time", SimpleNamespace(monotonic=lambda: now[0]))
    listener = HeartbeatListener(Settings(), "sink", lambda _: None)
    listener._follow()
    now[0] += 31.0
    listener._follow()
    assert listener.silent_seconds("host:7", since=0.0) == 31.0
    beats.append(Heartbeat("sink", "host:7:1", "streaming", 0, 3))
    listener._follow()
    assert listener.silent_seconds("host:7", since=0.0) == 0.0


@pytest.mark.parametrize(
    ("runner", "tail"), [("process", TAIL), ("ecs", LONG_TAIL), ("kubernetes", LONG_TAIL)]
)
def test_a_program_that_went_on_without_a_run_is_proved_by_its_heartbeats_meanwhile(
    runner: Literal["process", "ecs", "kubernetes"], tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def follow(*arguments: object) -> list[Heartbeat]:
        asked.append(arguments[2])
        return []

    monkeypatch.setattr(heartbeat_listener, "follow_heartbeats", follow)
    HeartbeatListener(Settings(stream_runner=runner), "sink", lambda _: None)._follow()
    assert asked == [tail]
