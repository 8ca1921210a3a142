"""The exchange clock and the calendar of a replay."""

import datetime as dt
import math
import time

import pytest

from polygon_assets.local.exchange.market.clock import Clock, ReplayCalendar, ReplayClock

DAY = dt.date(2026, 11, 20)


def test_a_fast_clock_stops_at_its_last_time() -> None:
    wall = time.time()
    assert Clock(wall - 10, 1000.0, speed=60.0).now() >= 1600.0
    stopped = Clock(wall - 10, 1000.0, speed=60.0, last=1200.0)
    assert stopped.now() == 1200.0
    assert stopped.wall_seconds_until(1201.0) == math.inf


def test_waiting_takes_less_wall_time_when_the_clock_is_fast() -> None:
    clock = Clock(time.time(), 0.0, speed=10.0)
    assert 9.0 < clock.wall_seconds_until(100.0) <= 10.0


def test_no_session_runs_after_the_replayed_day() -> None:
    calendar = ReplayCalendar("24/7", DAY)
    noon = dt.datetime(2026, 11, 20, 17, tzinfo=dt.UTC)
    assert calendar.session_at(noon) is not None
    assert calendar.session_at(noon + dt.timedelta(days=1)) is None
    assert calendar.session(DAY + dt.timedelta(days=1)) is not None


def test_a_replay_stands_still_until_the_first_subscription() -> None:
    clock = ReplayClock(1000.0, speed=1e6)
    assert [clock.now(), clock.now()] == [1000.0, 1000.0]
    assert clock.wall_seconds_until(1001.0) == math.inf
    clock.start()
    assert clock.now() > 1000.0


def test_a_replay_starts_once() -> None:
    clock = ReplayClock(1000.0)
    clock.start()
    first = clock.describe()
    clock.start()
    assert clock.describe() == first


def test_a_replay_does_not_run_ahead_of_a_feed_that_is_still_sending() -> None:
    clock = ReplayClock(1000.0, speed=1e6)
    clock.start()
    clock.hold("feed", 1003.0)
    while clock._ideal(time.time()) < 1003.0:  # the wall clock needs microseconds
        pass
    assert clock.now() == 1003.0


def test_after_a_long_delay_time_continues_from_the_feeds_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = [100.0]
    monkeypatch.setattr("polygon_assets.local.exchange.market.clock.time.time", lambda: wall[0])
    clock = ReplayClock(1000.0, speed=10.0)
    clock.start()
    clock.hold("feed", 1003.0)
    wall[0] += 0.5
    clock.release("feed")
    assert clock.now() == 1005.0, "the clock catches up half a second"
    clock.hold("feed", 1006.0)
    wall[0] += 5.0
    assert clock.now() == 1006.0
    clock.release("feed")
    assert clock.now() == 1006.0
    wall[0] += 1.0
    assert clock.now() == 1016.0
    assert clock.describe().market_seconds(wall[0]) == 1016.0
    assert clock.describe().market_seconds(wall[0] - 1.5) == 1006.0
