"""What becomes of received frames: counts, versions, dead letters, drops and gaps.

When the producer connects and reads belongs to test_producer.
"""

import asyncio
import datetime as dt

import pytest

from polygon_assets.dead_letters.publications import publications
from polygon_assets.events.vendor_channels import read_frame
from polygon_assets.messages import Heartbeat, decode_raw, unaccounted
from polygon_assets_tests.unit.streaming.producer_rig import RECEIVED_US, Rig, new_york
from polygon_assets_tests.unit.streaming.samples import START_MS

WEEKEND = dt.timedelta(days=3)
"""From the rig's Friday to the next trading day."""


def test_drops_of_a_full_queue_are_counted_and_their_interval_is_published(
    always_open: Rig,
) -> None:
    always_open.delivery.room = 1
    always_open.receive(START_MS, START_MS + 1000, START_MS + 2000)
    always_open.receive(START_MS + 3000)
    always_open.delivery.room = 10
    always_open.receive(START_MS + 4000, received_us=RECEIVED_US + 4_000_000)
    [gap] = always_open.delivery.gaps
    assert (gap.reason, gap.since, gap.events_dropped) == ("drop", START_MS + 1000, 3)
    assert gap.until >= START_MS + 4000
    assert always_open.publisher.beat.counters == {
        "read": 5,
        "forwarded": 2,
        "dropped": 3,
        "gaps": 1,
    }


def test_events_that_a_kill_would_lose_do_not_count_as_received(always_open: Rig) -> None:
    always_open.receive(START_MS)
    always_open.delivery.is_overdue = True
    always_open.receive(START_MS + 1000)
    assert always_open.publisher.beat.newest_event == START_MS
    always_open.delivery.is_overdue = False
    always_open.receive(START_MS + 2000)
    assert always_open.publisher.beat.newest_event == START_MS + 2000
    always_open.delivery.refusal = "Kafka does not let user 'streams' write"
    always_open.receive(START_MS + 3000)
    assert always_open.publisher.beat.newest_event == START_MS + 2000


def test_a_wrong_timestamp_moves_neither_the_newest_event_nor_a_gap(always_open: Rig) -> None:
    always_open.is_streaming_at(dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC))
    always_open.receive(START_MS, START_MS + 86_400_000, START_MS * 1_000_000)
    assert always_open.publisher.beat.newest_event == START_MS
    always_open.producer._lost("cut")
    always_open.producer._intake.confirmed_at = dt.datetime.fromtimestamp(
        START_MS / 1000 + 60, dt.UTC
    )
    always_open.receive(START_MS * 1_000_000)
    assert always_open.delivery.gaps == []
    always_open.receive(START_MS + 60_000, received_us=RECEIVED_US + 60_000_000)
    [gap] = always_open.delivery.gaps
    assert gap.since == START_MS
    assert START_MS + 60_000 <= gap.until <= START_MS + 64_000


def test_an_outage_that_spans_the_close_is_a_gap_however_often_the_vendor_refuses(
    nyse: Rig,
) -> None:
    nyse.is_streaming_at(new_york(19, 50))
    nyse.producer._lost("cut")
    nyse.producer._lost("refused after the close")
    nyse.producer._intake.confirmed_at = new_york(20, 5)
    late = int(new_york(20, 5).timestamp()) * 1000
    nyse.receive(late, received_us=(late + 3000) * 1000)
    [gap] = nyse.delivery.gaps
    assert gap.since == int(new_york(19, 49, 58).timestamp()) * 1000


@pytest.mark.parametrize(
    ("lost_at", "back_at", "gaps"),
    [
        pytest.param(new_york(19, 59, 57), new_york(20, 0, 6), 1, id="over the close"),
        pytest.param(new_york(20, 0, 1), new_york(20, 0, 6), 1, id="last seconds held back"),
        pytest.param(new_york(20, 5), new_york(20, 8), 1, id="while corrections come"),
        pytest.param(new_york(20, 14, 59), new_york(3, 55) + WEEKEND, 1, id="last correction"),
        pytest.param(new_york(20, 15), new_york(20, 17), 0, id="at night"),
        pytest.param(new_york(20, 15), new_york(3, 55) + WEEKEND, 0, id="until before the open"),
        pytest.param(new_york(20, 15), new_york(4, 0, 1) + WEEKEND, 1, id="over the next open"),
    ],
)
def test_a_loss_is_a_gap_until_the_vendor_sends_nothing_more_of_the_session(
    nyse: Rig, lost_at: dt.datetime, back_at: dt.datetime, gaps: int
) -> None:
    nyse.is_streaming_at(lost_at)
    nyse.producer._lost("cut")
    nyse.producer._intake.confirmed_at = back_at
    second = int(back_at.timestamp()) * 1000
    nyse.receive(second, received_us=(second + 3000) * 1000)
    assert len(nyse.delivery.gaps) == gaps


def test_every_version_has_a_received_at_of_its_own_whatever_the_clock_does(
    always_open: Rig,
) -> None:
    always_open.receive(START_MS, START_MS, START_MS + 1000)
    always_open.receive(START_MS)
    always_open.receive(START_MS, received_us=RECEIVED_US - 60_000_000)
    always_open.receive(START_MS + 2000, received_us=RECEIVED_US + 1_000_000)
    versions = always_open.delivery.versions
    assert versions == sorted(set(versions))
    assert (len(versions), versions[0], versions[-1]) == (6, RECEIVED_US, RECEIVED_US + 1_000_000)


def test_a_correction_after_a_restart_is_newer_even_if_the_clock_was_set_back(
    always_open: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_at = RECEIVED_US // 1000 + 3_600_000
    previous = Heartbeat(
        "producer", "a", "streaming", started_at=0, sent_at=sent_at, newest_received_at=sent_at
    )
    monkeypatch.setattr(
        always_open.producer, "_previous_heartbeats", lambda: {"producer": previous}
    )
    asyncio.run(always_open.producer._resume_after_previous_process())
    always_open.receive(START_MS)
    assert always_open.delivery.versions == [sent_at * 1000 + 1]


def test_a_leader_that_never_streamed_takes_no_gap_from_the_one_before_it(always_open: Rig) -> None:
    """This copy led, was replaced with an open gap, and leads again after one without an event."""
    intake, other = always_open.producer._intake, Heartbeat("producer", "b", "connecting", 0, 5_000)
    intake._gaps.lost("disconnect", START_MS, 1)
    intake.resume(other, led_until_ms=4_000)
    assert intake._gaps.is_open
    other.newest_event = START_MS + 60_000
    intake.resume(other, led_until_ms=4_000)
    gap = intake._gaps.recovered(START_MS + 90_000)
    assert gap is not None
    assert gap.since == START_MS + 60_000, "the leader between has reported the earlier part"
    intake.resume(other, led_until_ms=6_000)
    assert not intake._gaps.is_open, "its heartbeat is older than this copy's lead"


EVENT = tuple(
    f'{{"ev":"A","sym":"{symbol}","v":1,"o":1,"c":1,"h":1,"l":1,'
    f'"s":{START_MS},"e":{START_MS + 1000}}}'.encode()
    for symbol in ("AAPL", "MSFT")
)
STATUS = b'{"ev":"status","status":"info","message":"hello"}'


def test_every_event_of_a_frame_is_counted(always_open: Rig) -> None:
    always_open.delivery.room = 1
    always_open.take(read_frame(b"[%s,%s,7,%s]" % (EVENT[0], STATUS, EVENT[1])))
    assert always_open.publisher.beat.counters == {
        "read": 4,
        "forwarded": 1,
        "dropped": 1,
        "refused": 1,
        "status": 1,
    }
    assert unaccounted(always_open.publisher.beat) == 0
    assert always_open.publisher.beat.last_refusal.startswith("not an aggregate")


def test_one_bad_event_is_a_dead_letter_and_no_gap(always_open: Rig) -> None:
    always_open.is_streaming_at(dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC))
    always_open.take(
        read_frame(b"[%s,%s,%s]" % (EVENT[0], EVENT[0].replace(b":1,", b":NaN,", 1), EVENT[1]))
    )
    always_open.receive(START_MS + 1000)
    assert [letter.stage for letter in always_open.delivery.letters] == ["event"]
    assert len(always_open.delivery.versions) == 3
    assert always_open.delivery.gaps == []


def test_a_refused_version_keeps_its_place_between_those_of_its_frame(always_open: Rig) -> None:
    bad = EVENT[0][:-1] + b',"otc":"no"}'
    always_open.take(read_frame(b"[%s,%s,%s,%s]" % (EVENT[0], bad, EVENT[0], bad)))
    always_open.take(read_frame(b"[%s]" % EVENT[0]))
    first, third, fifth = always_open.delivery.versions
    second, fourth = (letter.refused_at for letter in always_open.delivery.letters)
    assert first < second < third < fourth < fifth


def test_the_versions_of_an_unreadable_frame_are_reserved_for_its_replay(always_open: Rig) -> None:
    always_open.take(read_frame(b"[%s,%s" % (EVENT[0], EVENT[1][:50])))
    whole = always_open.delivery.letters[-1]
    replayed = publications(whole.stage, whole.raw, whole.refused_at).messages
    always_open.receive(START_MS)
    newest = decode_raw(replayed[-1][1]).received_at
    assert always_open.delivery.versions[0] < newest < always_open.delivery.versions[-1]


def test_the_interval_of_a_frame_with_an_unreadable_end_is_a_gap(always_open: Rig) -> None:
    always_open.is_streaming_at(dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC))
    always_open.take(read_frame(b"[%s,%s" % (EVENT[0], EVENT[1][:50])))
    assert [(letter.stage, letter.raw[:1]) for letter in always_open.delivery.letters] == [
        ("event", b"{"),
        ("frame", b"["),
    ]
    assert always_open.delivery.gaps == []
    always_open.receive(START_MS + 5000, received_us=RECEIVED_US + 5_000_000)
    [gap] = always_open.delivery.gaps
    assert (gap.reason, gap.events_dropped) == ("unreadable", 0)
    assert gap.since <= START_MS
    assert gap.until >= START_MS + 5000


def test_garbage_before_the_first_subscription_is_no_gap(always_open: Rig) -> None:
    always_open.take(read_frame(b"<html>"))
    always_open.receive(START_MS)
    assert always_open.delivery.gaps == []
    assert len(always_open.delivery.letters) == 1


def test_the_delay_of_arrival_is_the_median_of_frames_and_none_in_a_replay(
    always_open: Rig,
) -> None:
    for _ in range(5):
        always_open.receive(START_MS, received_us=(START_MS + 1000 - 8000) * 1000)
    always_open.receive(START_MS, START_MS + 900_000, received_us=(START_MS + 1000) * 1000)
    assert (
        sorted(always_open.producer._intake.delays)[len(always_open.producer._intake.delays) // 2]
        == -8000
    )
    always_open.receive(START_MS, received_us=(START_MS + 86_400_000) * 1000)
    assert not always_open.producer._intake.delays


def test_an_event_from_the_future_hides_no_missing_second(always_open: Rig) -> None:
    always_open.receive(START_MS + 30_000)
    assert always_open.publisher.beat.newest_event == RECEIVED_US // 1000
