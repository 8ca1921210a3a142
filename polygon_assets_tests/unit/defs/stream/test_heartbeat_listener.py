"""The heartbeats that a supervision keeps: the newest of each process, of a bounded number."""

import socket

import pytest

from polygon_assets.defs.stream import heartbeat_listener
from polygon_assets.defs.stream.heartbeat_listener import MOST_PROCESSES, HeartbeatListener
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
    newest = listener.newest(7)
    assert newest is not None
    assert newest.sent_at == 1_500
