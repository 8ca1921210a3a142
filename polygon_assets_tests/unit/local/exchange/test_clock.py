"""The exchange clock and the calendar of a replay."""

import datetime as dt
import math
import time

from polygon_assets.local.exchange.clock import Clock, ReplayCalendar

DAY = dt.date(2026, 11, 20)


def test_a_fast_clock_stops_at_its_last_moment() -> None:
    wall = time.time()
    assert Clock(wall - 10, 1000.0, speed=60.0).now() >= 1600.0
    stopped = Clock(wall - 10, 1000.0, speed=60.0, last=1200.0)
    assert stopped.now() == 1200.0
    assert stopped.wall_seconds_until(1201.0) == math.inf


def test_waiting_takes_less_wall_time_when_the_clock_is_fast() -> None:
    clock = Clock(time.time(), 0.0, speed=10.0)
    assert 9.0 < clock.wall_seconds_until(100.0) <= 10.0


def test_nothing_is_under_way_after_the_replayed_day() -> None:
    calendar = ReplayCalendar("24/7", DAY)
    noon = dt.datetime(2026, 11, 20, 17, tzinfo=dt.UTC)
    assert calendar.session_at(noon) is not None
    assert calendar.session_at(noon + dt.timedelta(days=1)) is None
    assert calendar.session(DAY + dt.timedelta(days=1)) is not None
