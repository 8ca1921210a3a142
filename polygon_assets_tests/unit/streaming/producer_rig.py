"""A producer with a fake queue and a fake heartbeat, for tests of its decisions.

Add what tests of several modules need here; the fixtures belong to conftest.
"""

import asyncio
import datetime as dt
import threading
from collections.abc import Mapping
from typing import Any, cast

import pytest

from polygon_assets.events.vendor_channels import Frame, VendorAggregate
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.messages import DeadLetter, Gap, Heartbeat, decode_gap, decode_raw
from polygon_assets.settings import Settings
from polygon_assets.streaming import intake
from polygon_assets.streaming import producer as module
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.producer import Producer
from polygon_assets.topics import GAP_TOPIC, RAW_TOPIC
from polygon_assets_tests.unit.streaming.samples import START_MS

RECEIVED_US = (START_MS + 3000) * 1000


class FakePublisher:
    """A heartbeat that is never published."""

    def __init__(self) -> None:
        self.beat = Heartbeat(
            "producer", "host:1:2", "starting", started_at=0, sent_at=0, counters={}
        )

    def count(self, counter: str, number: int = 1) -> None:
        self.count_all({counter: number})

    def count_all(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            if number:
                self.beat.counters[name] = self.beat.counters.get(name, 0) + number

    def refusal(self, reason: str) -> None:
        self.beat.last_refusal = reason

    def state(self, *_: str) -> None:
        """Ignored."""

    def tick(self) -> None:
        """Ignored."""


class FakeDelivery:
    """A delivery whose queue accepts `room` messages."""

    problem = "no broker"
    refusal = ""
    pending = 0
    is_overdue = False

    def __init__(self, _settings: Settings) -> None:
        self.room = 10**9
        self.sent: list[tuple[str, bytes]] = []
        self.letters: list[DeadLetter] = []

    def send(self, topic: str, _key: bytes | None, value: bytes) -> bool:
        if self.room == 0:
            return False
        self.room -= 1
        self.sent.append((topic, value))
        return True

    def send_eventually(self, topic: str, _key: bytes | None, value: bytes) -> None:
        self.sent.append((topic, value))

    def serve(self, seconds: float = 0.0) -> None:
        """No message is ever acknowledged."""

    def send_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    @property
    def versions(self) -> list[int]:
        return [decode_raw(value).received_at for topic, value in self.sent if topic == RAW_TOPIC]

    @property
    def gaps(self) -> list[Gap]:
        return [decode_gap(value) for topic, value in self.sent if topic == GAP_TOPIC]


class Rig:
    """A producer with its fakes, whose only channel is confirmed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calendar: str) -> None:
        monkeypatch.setattr(module, "Delivery", FakeDelivery)
        monkeypatch.setattr(
            "polygon_assets.streaming.producer.subscription_store.connect", lambda _settings: None
        )
        monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.0)
        self.publisher = FakePublisher()
        settings = Settings.model_validate({"market_calendar": calendar, "no_data_seconds": 120})
        self.producer: Any = Producer(
            settings, cast(HeartbeatPublisher, self.publisher), threading.Event()
        )
        self.delivery = cast(FakeDelivery, self.producer._delivery)
        self.producer._intake.channels.plan(["A.AAPL"], 0)
        self.producer._intake.channels.acknowledge("success", "subscribed to: A.AAPL")

    def receive(self, *starts: int, received_us: int = RECEIVED_US) -> None:
        events = [
            VendorAggregate("A", "AAPL", 1, 1.0, 1.0, 1.0, 1.0, start, start + 1000)
            for start in starts
        ]
        count = len(events)
        self.take(Frame(events, read=count, places=range(count), size=count), received_us)

    def take(self, frame: Frame, received_us: int = RECEIVED_US) -> None:
        asyncio.run(self.producer._intake.take(frame, received_us))

    def is_streaming_at(self, now: dt.datetime) -> None:
        """Set the state of a producer that receives data at `now`."""
        self.producer._intake.confirmed_at = now
        self.publisher.beat.complete_until = int(now.timestamp() * 1000)
        self.publisher.beat.newest_event = int(now.timestamp()) * 1000 - 2000


def new_york(hour: int, minute: int, second: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, 20, hour, minute, second, tzinfo=NEW_YORK)
