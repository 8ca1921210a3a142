"""Days on which no producer ran, as the ledger records them from the stored heartbeats."""

import datetime as dt

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.gap_filling.record import record
from polygon_assets.inspection import streams
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK
from polygon_assets.messages import Heartbeat
from polygon_assets.serving import heartbeat_history
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.conftest import client, session_client, settings

__all__ = ["client", "session_client", "settings"]

NYSE = MarketCalendar("NYSE")
TUESDAY, WEDNESDAY, THURSDAY = (dt.date(2026, 11, day) for day in (17, 18, 19))


@pytest.fixture(autouse=True)
def without_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "reported_gaps", lambda *_: [])


def stream_all_day(client: Client, day: dt.date) -> None:
    """Store the heartbeats of a producer that had all its channels from the open to the close."""
    session = NYSE.session(day)
    assert session is not None
    since, until = (
        round(moment.timestamp()) for moment in (session.extended_open, session.extended_close)
    )
    beats = [
        Heartbeat(
            "producer",
            "host:1:1",
            "streaming",
            started_at=since * 1000,
            sent_at=second * 1000,
            complete_until=second * 1000,
            desired=1,
            confirmed=1,
            epoch=1,
        )
        for second in range(since - 10, until + 20, 10)
    ]
    heartbeat_history.store(client, beats)


def recorded(settings: Settings, now: dt.datetime) -> list[GapEntry]:
    return record(settings, NYSE, WALL_CLOCK, [TUESDAY, WEDNESDAY, THURSDAY], now)


def test_a_day_on_which_nothing_ran_is_one_gap(client: Client, settings: Settings) -> None:
    stream_all_day(client, TUESDAY)
    stream_all_day(client, THURSDAY)
    wednesday, thursday = NYSE.session(WEDNESDAY), NYSE.session(THURSDAY)
    assert wednesday
    assert thursday
    [gap] = recorded(settings, thursday.settled_at)
    assert (gap.since, gap.until) == (wednesday.extended_open, wednesday.extended_close)
    assert gap.cause == "not running"
    assert recorded(settings, thursday.settled_at) == []


def test_days_before_the_first_heartbeat_were_never_asked_for(
    client: Client, settings: Settings
) -> None:
    stream_all_day(client, THURSDAY)
    thursday = NYSE.session(THURSDAY)
    assert thursday
    assert recorded(settings, thursday.settled_at) == []


def test_a_session_that_has_only_begun_may_still_be_reported_by_its_producer(
    client: Client, settings: Settings
) -> None:
    stream_all_day(client, TUESDAY)
    wednesday = NYSE.session(WEDNESDAY)
    assert wednesday
    assert recorded(settings, wednesday.extended_open + dt.timedelta(minutes=1)) == []
