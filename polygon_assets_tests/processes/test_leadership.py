"""Several producers, of which one streams: whatever happens to it, another one replaces it.

A single producer's crashes belong to test_producer_crash.
"""

import signal
import time
from collections import defaultdict
from typing import Any

import pytest

from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import standbys
from polygon_assets.local.launcher.servers import APACHE
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import RawAggregate
from polygon_assets_tests.processes import own_network
from polygon_assets_tests.processes.harness import Program, Programs, eventually
from polygon_assets_tests.processes.live_market import (
    EXCHANGE_OPTIONS,
    SERVERS,
    SYMBOLS,
    Live,
    channels,
)
from polygon_assets_tests.processes.market_truth import Key, as_sent

__all__ = ["EXCHANGE_OPTIONS", "SERVERS"]

pytestmark = pytest.mark.long

TWO_COPIES = {"PRODUCER_COPIES": "2"}


def leader_and_standby(live: Live, programs: Programs) -> tuple[Program, Program]:
    """Two producers: the first streams, the second would replace it."""
    leader = live.start(*SYMBOLS, **TWO_COPIES)
    standby = stand_by(live, programs)
    first_ms = live.sent()[0]["first_second"] * 1000
    live.beat_with(leader, lambda last: (last.newest_event or 0) >= first_ms)
    return leader, standby


def stand_by(live: Live, programs: Programs) -> Program:
    """A producer beside the one that streams, which would replace it."""
    standby = programs.start("producer", **TWO_COPIES)
    standby.wait_for_log("standby")
    eventually(lambda: standby_count(live) == 1, "the standby is known")
    return standby


def standby_count(live: Live) -> int:
    """The standbys that sent a heartbeat lately; killed ones leave their last one behind.

    0 where Kafka does not answer, as one that has just woken up may not.
    """
    now_ms = time.time_ns() // 1_000_000
    try:
        known = standbys(live.settings)
    except KafkaUnreachableError:
        return 0
    return sum(now_ms - last.sent_at < 2_500 for last in known.values())


def takeover(live: Live, standby: Program, after: int) -> dict[str, Any]:
    """The connection with which the standby streams."""
    return live.connection(standby, SYMBOLS, after=after)


def assert_nobody_evicted(live: Live, streaming: dict[str, Any]) -> None:
    """No producer has evicted another one since the connection of the takeover."""
    # Kafka may give the lead back to the one that woke up; then the other one leaves by itself.
    endings = {
        connection["ended"]
        for connection in live.connections_opened()
        if connection["id"] >= streaming["id"]
    }
    assert endings <= {"", None, "closed by the client"}


def overwritten_corrections(live: Live) -> list[Key]:
    """The seconds whose final version was received, and whose newest version is another one."""
    by_second: dict[Key, list[RawAggregate]] = defaultdict(list)
    for item in live.received():
        by_second[item.symbol, item.start_timestamp].append(item)
    assert by_second
    return [
        key
        for key, items in by_second.items()
        if (final := live.truth.versions(key)[1]) in as_sent(items)
        and as_sent([max(items, key=lambda item: item.received_at)]) != [final]
    ]


def assert_nothing_lost(live: Live) -> None:
    """Every second was received or is in a gap, at the latest in that of the next leader.

    Where the lead changes hands at the end, no other copy has written the gap of the last seconds.
    """
    successor = live.start(*SYMBOLS, **TWO_COPIES)
    assert successor.stop() == 0, successor.log
    assert live.missing(*SYMBOLS) == []


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGKILL, id="kill -9"), pytest.param(signal.SIGTERM, id="stop")],
)
def test_the_standby_streams_within_seconds_and_the_interval_is_a_gap(
    live: Live, programs: Programs, number: signal.Signals, pytestconfig: pytest.Config
) -> None:
    leader, standby = leader_and_standby(live, programs)
    before, died_at = live.newest(), time.time()
    leader.send(number)
    connection = takeover(live, standby, before)
    # One that is stopped leaves the group. The embedded broker lets the standby wait all the same.
    is_quick = number is signal.SIGTERM and pytestconfig.getoption("kafka") == APACHE
    limit = 5 if is_quick else 12
    assert connection["opened_at"] - died_at < limit, "2 s or 8 s, more on a busy machine"
    [gap] = standby.until(live.gaps, "a gap is in the ledger")
    assert gap.channels == channels(SYMBOLS)
    assert gap.until / 1000 >= connection["sent"]["first_second"] + 1
    assert standby.stop() == 0, standby.log
    assert live.missing(*SYMBOLS) == []


def test_a_leader_that_wakes_up_evicts_nobody_and_overwrites_no_correction(
    live: Live, programs: Programs
) -> None:
    leader, standby = leader_and_standby(live, programs)
    before, stopped_at = live.newest(), time.time()
    leader.send(signal.SIGSTOP)
    streaming = takeover(live, standby, before)
    assert streaming["opened_at"] - stopped_at < 12, "about 8 s, more on a busy machine"
    leader.send(signal.SIGCONT)
    eventually(lambda: standby_count(live) == 1, "the old leader is the standby")
    time.sleep(3)
    assert leader.stop() == 0, leader.log
    assert_nobody_evicted(live, streaming)
    assert overwritten_corrections(live) == []
    assert standby.stop() == 0, standby.log
    assert_nothing_lost(live)


def test_a_leader_without_network_is_replaced_and_afterwards_harmless(
    stack: Stack, live: Live, programs: Programs
) -> None:
    if not own_network.is_allowed():
        pytest.skip("the kernel lets this user make no network")
    ports = ",".join(str(stack.ports[server]) for server in SERVERS)
    leader = live.start(
        *SYMBOLS, prelude=own_network.PRELUDE, **{own_network.PORTS: ports}, **TWO_COPIES
    )
    standby = stand_by(live, programs)
    before, cut_at = live.newest(), time.time()
    own_network.cut(leader.pid)
    streaming = takeover(live, standby, before)
    assert streaming["opened_at"] - cut_at < 12, "about 8 s, more on a busy machine"
    own_network.mend(leader.pid)
    time.sleep(3)
    eventually(lambda: standby_count(live) == 1, "the old leader is the standby")
    assert_nobody_evicted(live, streaming)
    assert overwritten_corrections(live) == []
    for program in (leader, standby):
        assert program.stop() == 0, program.log
    assert_nothing_lost(live)


def test_while_the_broker_is_away_the_leader_goes_on(
    stack: Stack, live: Live, programs: Programs
) -> None:
    leader, standby = leader_and_standby(live, programs)
    before = live.newest()
    broker = stack.process("kafka")
    broker.send(signal.SIGSTOP)
    time.sleep(8)
    broker.send(signal.SIGCONT)
    eventually(lambda: standby_count(live) == 1, "one of the two is the standby")
    for program in (standby, leader):
        assert program.stop() == 0, program.log
    assert live.newest() in (before, before + 1)
    assert live.missing(*SYMBOLS) == []


@pytest.mark.apache_kafka
def test_a_session_that_kafka_does_not_allow_is_named(live: Live, programs: Programs) -> None:
    producer = programs.start("producer", **TWO_COPIES, LEADER_SESSION_SECONDS="3")
    producer.wait_for_log("refuses LEADER_SESSION_SECONDS=3; choose a value between")
    eventually(
        lambda: any(
            "LEADER_SESSION_SECONDS=3" in beat.detail for beat in standbys(live.settings).values()
        ),
        "the heartbeat says so",
    )
    assert producer.stop() == 0, producer.log
