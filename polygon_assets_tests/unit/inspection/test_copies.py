"""The heartbeats of several copies as one: sums, the state of the worst, and who does not count."""

from typing import Any

import msgspec
import pytest

from polygon_assets.inspection.copies import as_one
from polygon_assets.messages import Heartbeat

NOW = 1_795_000_000_000
SINK = Heartbeat(
    "sink", "a:1:1", "streaming", NOW - 60_000, NOW, lag=3, rate=10.0, counters={"read": 5}
)


def sink(instance: str, **changes: Any) -> Heartbeat:
    return msgspec.structs.replace(SINK, instance=instance, **changes)


def one(*beats: Heartbeat) -> Heartbeat:
    merged = as_one(beats)
    assert merged is not None
    return merged


def test_without_a_heartbeat_there_is_none_and_a_single_one_is_unchanged() -> None:
    assert as_one(()) is None
    assert as_one([SINK]) is SINK


def test_each_copy_counts_its_own_partitions() -> None:
    other = sink("b:1:1", lag=40, rate=2.5, counters={"read": 1, "refused": 2}, sent_at=NOW + 500)
    merged = one(SINK, other)
    assert (merged.lag, merged.rate, merged.sent_at) == (43, 12.5, NOW + 500)
    assert merged.counters == {"read": 6, "refused": 2}
    assert (merged.state, merged.detail) == ("streaming", "2 of 2 copies")
    assert merged.instance == "a:1:1, b:1:1"
    assert one(other, SINK).instance == merged.instance


def test_a_copy_without_a_partition_has_no_lag() -> None:
    waiting = sink("b:1:1", state="waiting", detail="no partition assigned yet", lag=None)
    merged = one(SINK, waiting)
    assert merged.lag == 3
    assert merged.state == "waiting"
    assert merged.detail == "1 of 2 copies: no partition assigned yet"
    assert one(waiting, sink("c:1:1", lag=None)).lag is None


@pytest.mark.parametrize(
    "gone", [{"state": "stopped", "sent_at": NOW + 900}, {"sent_at": NOW - 16_000}]
)
def test_a_copy_that_stopped_or_is_silent_does_not_count(gone: dict[str, Any]) -> None:
    assert one(SINK, sink("b:1:1", lag=40, **gone)) is SINK


def test_when_all_copies_have_stopped_the_newest_heartbeat_counts() -> None:
    last = sink("b:1:1", state="stopped", sent_at=NOW + 1)
    assert one(sink("a:1:1", state="stopped"), last) is last


def test_producers_do_not_share_their_work() -> None:
    leader = Heartbeat("producer", "a:1:1", "streaming", NOW, NOW, lag=1)
    standby = Heartbeat("producer", "b:1:1", "standby", NOW, NOW + 900, is_standby=True)
    assert one(leader, standby) is leader
    assert as_one([standby]) is standby
