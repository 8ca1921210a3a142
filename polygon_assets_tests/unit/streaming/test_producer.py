"""When a connection counts as dead, and which copy may read: silence and handovers.

What becomes of frames belongs to test_intake, the producer as a process to
processes/test_producer*.py.
"""

import asyncio
import datetime as dt
import json
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from polygon_assets.clients.polygon_stream import ConnectionLostError
from polygon_assets.events.vendor_channels import Frame, read_frame
from polygon_assets.streaming.producer import KEEPER_SECONDS
from polygon_assets_tests.unit.streaming.producer_rig import Rig, new_york
from polygon_assets_tests.unit.streaming.samples import START_MS


@pytest.mark.parametrize(
    ("now", "quiet_seconds", "is_dead"),
    [
        (new_york(3, 59), 3600, False),
        (new_york(4, 0, 1), 3600, False),
        (new_york(4, 10), 3600, False),
        (new_york(4, 31), 3600, True),
        (new_york(8, 0), 600, False),
        (new_york(11, 0), 119, False),
        (new_york(11, 0), 121, True),
        (new_york(20, 1), 3600, False),
    ],
)
def test_silence_counts_from_the_open_and_only_while_the_market_trades(
    nyse: Rig, now: dt.datetime, quiet_seconds: int, is_dead: bool
) -> None:
    nyse.producer._connected_at = 0.0
    nyse.producer._intake.last_data_at = 1000.0
    if is_dead:
        with pytest.raises(ConnectionLostError, match="no data for"):
            nyse.producer._watch_for_silence(1000.0 + quiet_seconds, now)
    else:
        nyse.producer._watch_for_silence(1000.0 + quiet_seconds, now)


class OneFrame:
    """A connection that has one frame, and then nothing."""

    def __init__(self) -> None:
        event = {"ev": "A", "sym": "AAPL", "v": 1, "o": 1, "h": 1, "l": 1, "c": 1}
        times = {"s": START_MS, "e": START_MS + 1000}
        self.frames = [json.dumps([event | times]).encode()]

    async def recv(self, *, decode: bool) -> bytes:
        assert not decode
        if not self.frames:
            raise ConnectionLostError("no more frames")
        return self.frames.pop()


def copy_of(
    *,
    is_replaced: bool = False,
    is_confirmed: bool = False,
    term: int = 0,
    kafka_idle_seconds: float = 0.0,
) -> Any:
    """The leadership of a producer that connected in term 0."""
    copy = SimpleNamespace(
        is_replaced=is_replaced,
        session_seconds=6.0,
        term=term,
        confirm=lambda: is_confirmed,
        silence=0.0,
        longest_silence=lambda: kafka_idle_seconds,
    )
    copy.rejoin = lambda: setattr(copy, "term", copy.term + 1)
    return copy


@pytest.mark.parametrize(
    ("slept_seconds", "leadership", "taken"),
    [
        pytest.param(0, copy_of(), 1, id="the leader"),
        pytest.param(0, copy_of(is_replaced=True, term=1), 0, id="replaced while a frame waited"),
        pytest.param(1, copy_of(), 1, id="slept for less than a session: nobody is asked"),
        pytest.param(3, copy_of(is_confirmed=True), 1, id="slept, and still leads"),
        pytest.param(3, copy_of(), 0, id="slept, and Kafka does not confirm"),
        pytest.param(3, copy_of(is_confirmed=True, term=1), 0, id="slept while another copy led"),
        pytest.param(
            7, copy_of(is_confirmed=True), 0, id="slept for a session, whatever Kafka says"
        ),
    ],
)
def test_a_frame_that_waited_while_another_copy_may_have_led_is_left_to_the_gap(
    monkeypatch: pytest.MonkeyPatch, slept_seconds: float, leadership: Any, taken: int
) -> None:
    rig = Rig(monkeypatch, "24/7")
    rig.producer._leadership = leadership
    rig.producer._connected_at = time.monotonic()
    rig.producer._sleep._measured_at -= slept_seconds
    with pytest.raises(ConnectionLostError):
        asyncio.run(rig.producer._read(OneFrame()))
    assert len(rig.delivery.versions) == taken


@pytest.mark.parametrize(
    ("slept_seconds", "leads", "is_replaced", "rejoins"),
    [
        pytest.param(7, True, False, 1, id="a session: another copy leads, whatever Kafka says"),
        pytest.param(3, True, False, 0, id="less than a session"),
        pytest.param(7, False, False, 0, id="a standby has nothing to lose"),
        pytest.param(7, True, True, 0, id="one that knows it joins once"),
    ],
)
def test_a_leader_that_slept_between_two_connections_joins_again(
    monkeypatch: pytest.MonkeyPatch,
    slept_seconds: float,
    leads: bool,
    is_replaced: bool,
    rejoins: int,
) -> None:
    rig = Rig(monkeypatch, "24/7")
    leadership = copy_of(is_confirmed=True, is_replaced=is_replaced)
    rig.producer._leads = leads
    rig.producer._sleep._measured_at -= slept_seconds
    assert asyncio.run(rig.producer._is_confirmed(leadership))
    assert leadership.term == rejoins


@pytest.mark.parametrize(
    ("silent_seconds", "leadership", "taken"),
    [
        pytest.param(3, copy_of(), 1, id="only the vendor was silent: nobody is asked"),
        pytest.param(0, copy_of(kafka_idle_seconds=9), 1, id="only Kafka was away: it goes on"),
        pytest.param(3, copy_of(kafka_idle_seconds=9), 0, id="both, and Kafka does not confirm"),
        pytest.param(
            3, copy_of(kafka_idle_seconds=9, is_confirmed=True), 1, id="both, and it still leads"
        ),
        pytest.param(
            3,
            copy_of(kafka_idle_seconds=9, is_confirmed=True, term=1),
            0,
            id="both, while another copy led",
        ),
        pytest.param(
            7,
            copy_of(kafka_idle_seconds=9, is_confirmed=True),
            0,
            id="both for a session, whatever Kafka says",
        ),
    ],
)
def test_a_frame_that_waited_while_the_network_was_away_is_left_to_the_gap_too(
    monkeypatch: pytest.MonkeyPatch, silent_seconds: float, leadership: Any, taken: int
) -> None:
    rig = Rig(monkeypatch, "24/7")
    rig.producer._leadership = leadership
    rig.producer._connected_at = time.monotonic() - silent_seconds
    with pytest.raises(ConnectionLostError):
        asyncio.run(rig.producer._read(OneFrame()))
    assert len(rig.delivery.versions) == taken


def test_an_outage_of_kafka_in_a_quiet_market_is_settled_at_its_end_and_not_by_the_next_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, silences, answers = Rig(monkeypatch, "24/7"), [3.0], [True]
    leadership = copy_of()
    leadership.longest_silence = lambda: silences.pop() if silences else 0.0
    leadership.confirm = answers.pop
    leadership.silence = 3.0
    rig.producer._leadership = leadership

    async def quiet_market() -> None:
        keeper = asyncio.create_task(rig.producer._keep(AsyncMock()))
        await asyncio.sleep(0.05)
        assert answers, "while Kafka is away nobody is asked"
        leadership.silence = 0.0
        await asyncio.sleep(2 * KEEPER_SECONDS)
        assert not answers, "Kafka is back, and is asked once"
        keeper.cancel()
        await rig.producer._read(OneFrame())

    with pytest.raises(ConnectionLostError):
        asyncio.run(quiet_market())
    assert len(rig.delivery.versions) == 1


def test_frames_that_still_wait_are_left_to_the_gap_once_the_keeper_has_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch, "24/7")
    rig.producer._leadership = leadership = copy_of()
    rig.producer._connected_at = time.monotonic()
    rig.producer._sleep._measured_at -= 3
    with pytest.raises(ConnectionLostError, match="another one may have led"):
        asyncio.run(rig.producer._keep(AsyncMock()))
    leadership.confirm = lambda: True
    with pytest.raises(ConnectionLostError, match="another copy leads"):
        asyncio.run(rig.producer._read(OneFrame()))
    assert rig.delivery.versions == []


def test_the_next_confirmation_makes_it_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, "24/7")
    rig.producer._leadership = leadership = copy_of(is_confirmed=True, term=3)
    rig.producer._may_read = False
    assert asyncio.run(rig.producer._is_confirmed(leadership))
    with pytest.raises(ConnectionLostError):
        asyncio.run(rig.producer._read(OneFrame()))
    assert len(rig.delivery.versions) == 1


def test_the_stamp_is_that_of_the_arrival_however_long_a_frame_takes_to_parse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsing_begins: list[int] = []

    def slow(message: bytes) -> Frame:
        parsing_begins.append(time.time_ns() // 1000)
        time.sleep(0.05)
        return read_frame(message)

    monkeypatch.setattr("polygon_assets.streaming.producer.read_frame", slow)
    rig = Rig(monkeypatch, "24/7")
    with pytest.raises(ConnectionLostError):
        asyncio.run(rig.producer._read(OneFrame()))
    [received_at] = rig.delivery.versions
    assert received_at <= parsing_begins[0]
