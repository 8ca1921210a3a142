"""Which time heartbeats prove to be covered, and which holes are left beside the ledger."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.gap_filling.coverage import Hole, Interval, covered, holes, is_complete, without
from polygon_assets.messages import Heartbeat

OPEN = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
SESSION = Interval(OPEN, OPEN + 100 * SECOND)
AFTER = SESSION.until + dt.timedelta(hours=1)


def at(seconds: float) -> dt.datetime:
    return OPEN + seconds * SECOND


def interval(since: float, until: float) -> Interval:
    return Interval(at(since), at(until))


def beat(seconds: float, instance: str = "h:1:1", **changes: Any) -> Heartbeat:
    """A complete heartbeat of a producer, this many seconds after the open."""
    ms = round(at(seconds).timestamp() * 1000)
    plain = Heartbeat(
        "producer", instance, "streaming", 0, ms, complete_until=ms, desired=2, confirmed=2, epoch=1
    )
    return msgspec.structs.replace(plain, **changes)


def every(first: int, last: int, **changes: Any) -> list[Heartbeat]:
    """A heartbeat every ten seconds, and one at the end."""
    return [*(beat(second, **changes) for second in range(first, last, 10)), beat(last, **changes)]


def found(beats: list[Heartbeat], *recorded: Interval, now: dt.datetime = AFTER) -> list[Hole]:
    return holes(SESSION, beats, recorded, now)


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        ({}, True),
        ({"complete_until": None}, False),
        ({"complete_until": round(at(-3).timestamp() * 1000)}, False),
        ({"confirmed": 1}, False),
        ({"desired": 0, "confirmed": 0}, False),
    ],
)
def test_a_heartbeat_is_complete_with_all_channels_and_nothing_missing(
    changes: dict[str, Any], complete: bool
) -> None:
    assert is_complete(beat(0, **changes)) is complete


def test_a_session_with_heartbeats_from_before_the_open_to_after_the_close_has_no_hole() -> None:
    assert found(every(-10, 110)) == []


@pytest.mark.parametrize(
    ("beats", "hole", "cause"),
    [
        (every(40, 110), (0, 40), "late start"),
        (every(-10, 60), (60, 100), "early end"),
        (every(-10, 30) + every(60, 110, instance="h:2:2"), (30, 60), "restart"),
        (every(-10, 30) + every(70, 110), (30, 70), "silence"),
        (
            [*every(-10, 30), beat(31, confirmed=1), beat(49, confirmed=1), *every(50, 110)],
            (30, 50),
            "unconfirmed",
        ),
        (every(-10, 30) + every(38, 110, epoch=2), (30, 38), "silence"),
    ],
)
def test_a_hole_is_found_with_its_cause(
    beats: list[Heartbeat], hole: tuple[float, float], cause: str
) -> None:
    assert found(beats) == [Hole(interval(*hole), cause)]


def test_without_any_heartbeat_the_whole_session_is_a_hole() -> None:
    assert [hole.interval for hole in found([])] == [SESSION]


def test_what_the_ledger_records_is_no_hole_and_only_the_rest_is() -> None:
    beats = every(-10, 30) + every(60, 110, instance="h:2:2")
    assert found(beats, interval(28, 61)) == []
    assert found(beats, interval(28, 40)) == [Hole(interval(40, 60), "restart")]
    assert found(beats, interval(31, 58)) == [], "pieces shorter than three seconds"


def test_the_time_since_the_last_heartbeat_is_no_hole_while_the_session_lasts() -> None:
    beats = every(-10, 60)
    assert found(beats, now=at(99)) == []
    assert [hole.interval for hole in found(beats, now=at(100))] == [interval(60, 100)]


moments = st.integers(-20, 120)
intervals = st.tuples(moments, moments).map(lambda pair: interval(min(pair), max(pair)))


@given(st.lists(intervals))
def test_pieces_and_parts_together_are_the_whole_without_overlap(parts: list[Interval]) -> None:
    pieces = list(without(SESSION, parts))
    for second in range(100):
        moment = at(second + 0.5)
        in_part = any(part.since <= moment < part.until for part in parts)
        in_pieces = sum(piece.since <= moment < piece.until for piece in pieces)
        assert in_pieces == (0 if in_part else 1)
    assert all(piece.length > dt.timedelta() for piece in pieces)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 2), st.booleans()), max_size=30))
def test_only_time_between_complete_heartbeats_of_one_connection_is_covered(
    sent: list[tuple[int, int, bool]],
) -> None:
    beats = [
        beat(second, epoch=epoch, confirmed=2 if complete else 1)
        for second, epoch, complete in sorted(sent)
    ]
    for part in covered(beats):
        ends = [
            heartbeat
            for heartbeat in beats
            if heartbeat.complete_until in {_ms(part.since), _ms(part.until)}
        ]
        assert any(is_complete(heartbeat) for heartbeat in ends)
        assert part.length <= dt.timedelta(seconds=30)


def _ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
