"""What answers about channels say about the plan, and when nothing may be asked."""

import datetime as dt

import pytest

from polygon_assets.clients.polygon_stream import TooManyConnectionsError
from polygon_assets.events.vendor_channels import Status
from polygon_assets.inspection.entitlements.stream import (
    INCLUDED,
    NO_ANSWER,
    answer_about,
    holder_of_connection,
    judge,
    of_producer,
)
from polygon_assets.messages import Heartbeat, ProgramState

NOW = dt.datetime(2026, 11, 24, 16, tzinfo=dt.UTC)


def producer(state: ProgramState, seconds_ago: float, **changes: object) -> Heartbeat:
    sent_ms = int((NOW.timestamp() - seconds_ago) * 1000)
    beat = Heartbeat("producer", "host:17:1", state, started_at=1, sent_at=sent_ms)
    for name, value in changes.items():
        setattr(beat, name, value)
    return beat


@pytest.mark.parametrize(
    ("beat", "holds"),
    [
        (producer("streaming", 1), True),
        (producer("connecting", 1), True),
        (producer("backing_off", 1), True),
        (producer("standby", 1, is_standby=True), True),
        (producer("streaming", 59), True),  # killed: it may be started again at any moment
        (producer("streaming", 61), False),
        (producer("stopped", 1), False),
    ],
)
def test_a_producer_that_has_or_may_open_the_connection_forbids_another(
    beat: Heartbeat, holds: bool
) -> None:
    assert (holder_of_connection([beat], NOW) is beat) == holds


def test_a_standby_beside_a_stopped_leader_forbids_a_connection() -> None:
    standby = producer("standby", 1, is_standby=True)
    assert holder_of_connection([producer("stopped", 1), standby], NOW) is standby


def test_a_running_producer_proves_what_it_has_confirmed() -> None:
    finding = of_producer(producer("streaming", 1, desired=3, confirmed=2, unconfirmed=["A.X: no"]))
    assert finding.ok
    assert "host:17. It is streaming" in finding.message
    assert "confirmed 2 of its 3 channels A; not A.X: no" in finding.message
    assert not of_producer(producer("backing_off", 1, detail="HTTP 503", desired=3)).ok


def test_only_the_channel_that_is_streamed_must_be_included() -> None:
    seconds, minutes, trades = judge({"A": INCLUDED, "AM": NO_ANSWER, "T": "not authorized"})
    assert (seconds.ok, minutes.ok, trades.ok) == (True, True, True)
    assert trades.message == "not in the plan: not authorized (not used here)"
    [refused] = judge({"A": "not authorized"})
    assert not refused.ok
    assert refused.message == "not in the plan, so nothing streams: not authorized"


def test_a_refusal_without_a_name_answers_the_only_open_request() -> None:
    assert answer_about("T.AAPL", [Status("error", "not authorized")]) == "not authorized"
    assert answer_about("T.AAPL", [Status("success", "subscribed to: T.AAPL")]) == INCLUDED
    others = [
        Status("success", "unsubscribed to: A.AAPL"),
        Status("success", "subscribed to: A.AAPL"),
    ]
    assert answer_about("T.AAPL", others) is None


def test_a_connection_that_another_one_ends_says_nothing_about_the_plan() -> None:
    with pytest.raises(TooManyConnectionsError):
        answer_about("A.AAPL", [Status("max_connections", "exceeded")])
