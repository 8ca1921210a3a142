"""Market time: the wall clock in production, the exchange's clock in a replay.

The replayed day's session begins where the replay begins.
"""

import datetime as dt
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.clients import market_clock
from polygon_assets.clients.market_clock import MarketClockError
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.market_clock import (
    WALL_CLOCK,
    MarketClock,
    calendar_of,
    clock_of,
    replay_begins,
)
from polygon_assets.settings import Settings

BEGINS = dt.datetime(2026, 11, 20, 20, 50, tzinfo=dt.UTC)
"""15:50 New York."""
WALL = dt.datetime(2026, 11, 27, 18, 0, tzinfo=dt.UTC)
RUNNING = MarketClock(
    30.0, BEGINS.timestamp(), BEGINS.timestamp() + 15_000, ((WALL.timestamp(), BEGINS.timestamp()),)
)
WAITING = MarketClock(30.0, BEGINS.timestamp(), BEGINS.timestamp() + 15_000, ())
REPLAY = Settings(market_replay="2026-11-20T15:50", market_calendar="NYSE")
SECOND = dt.timedelta(seconds=1)


def test_without_a_replay_market_time_is_wall_time_without_a_request() -> None:
    clock = market_clock.connect(Settings())
    assert clock == WALL_CLOCK
    assert clock.market(WALL) is WALL
    assert clock.wall(WALL) is WALL
    assert type(calendar_of(Settings())) is MarketCalendar


def test_a_replay_stays_at_its_beginning_until_it_is_started() -> None:
    assert WAITING.market(WALL) == BEGINS
    assert WAITING.wall(BEGINS + SECOND) is None
    assert not WAITING.is_wall


@pytest.mark.parametrize(
    ("wall_seconds", "market_seconds"),
    [(-100, 0), (0, 0), (1, 30), (60, 1800), (500, 15_000), (10_000, 15_000)],
)
def test_a_replay_runs_at_its_speed_and_stops_at_its_end(
    wall_seconds: int, market_seconds: int
) -> None:
    assert RUNNING.market(WALL + wall_seconds * SECOND) == BEGINS + market_seconds * SECOND


@pytest.mark.parametrize(
    ("market_seconds", "wall_seconds"), [(-5, 0), (0, 0), (30, 1), (1800, 60), (15_000, 500)]
)
def test_each_moment_of_the_market_was_shown_at_a_moment_of_the_wall(
    market_seconds: int, wall_seconds: int
) -> None:
    assert RUNNING.wall(BEGINS + market_seconds * SECOND) == WALL + wall_seconds * SECOND


def test_a_moment_after_the_end_never_comes() -> None:
    assert RUNNING.wall(BEGINS + 15_001 * SECOND) is None


@st.composite
def clocks(draw: st.DrawFn) -> MarketClock:
    """Clocks of feeds that fell behind: each anchor lies below the line from the previous one."""
    speed = draw(st.sampled_from([0.5, 1.0, 30.0, 600.0]))
    anchors = [(0.0, 1000.0)]
    for pause, share in draw(
        st.lists(st.tuples(st.integers(1, 100), st.floats(0.01, 1.0)), max_size=5)
    ):
        wall, market = anchors[-1]
        anchors.append((wall + pause, market + math.floor(pause * speed * share)))
    return MarketClock(speed, 1000.0, anchors[-1][1] + 5000.0, tuple(anchors))


@given(clocks(), st.lists(st.integers(-10, 700), min_size=2, max_size=20))
def test_market_time_never_goes_back_and_the_wall_time_found_is_the_first_that_showed_it(
    clock: MarketClock, walls: list[int]
) -> None:
    shown = [clock.market_seconds(wall) for wall in sorted(walls)]
    assert shown == sorted(shown)
    for wall, market in zip(sorted(walls), shown, strict=True):
        first = clock.wall(dt.datetime.fromtimestamp(market, dt.UTC))
        assert first is not None
        assert first.timestamp() <= max(wall, clock.anchors[0][0]) + 1e-3
        assert math.isclose(
            clock.market_seconds(first.timestamp()), market, abs_tol=1e-3 * clock.speed
        )


@given(clocks())
def test_a_clock_survives_json(clock: MarketClock) -> None:
    assert clock_of(json.loads(json.dumps(clock.as_json()))) == clock


def test_the_replayed_day_begins_where_the_replay_begins_and_other_days_are_whole() -> None:
    whole, cut = MarketCalendar("NYSE"), calendar_of(REPLAY)
    assert replay_begins(REPLAY) == BEGINS
    [session, plain] = [calendar.session(dt.date(2026, 11, 20)) for calendar in (cut, whole)]
    assert session is not None
    assert plain is not None
    assert (session.extended_open, session.regular_open) == (BEGINS, BEGINS)
    assert (session.regular_close, session.extended_close) == (
        plain.regular_close,
        plain.extended_close,
    )
    assert not cut.is_open(BEGINS - SECOND)
    assert cut.session(dt.date(2026, 11, 19)) == whole.session(dt.date(2026, 11, 19))


@pytest.mark.parametrize(
    ("begins", "extended", "regular"),
    [("00:00", "04:00", "09:30"), ("08:00", "08:00", "09:30"), ("12:00",) * 3],
)
def test_a_replay_that_begins_before_a_bell_leaves_it_where_it_is(
    begins: str, extended: str, regular: str
) -> None:
    settings = REPLAY.model_copy(update={"market_replay": f"2026-11-20T{begins}"})
    session = calendar_of(settings).session(dt.date(2026, 11, 20))
    assert session is not None
    opens = [
        moment.astimezone(NEW_YORK).strftime("%H:%M")
        for moment in (session.extended_open, session.regular_open)
    ]
    assert opens == [extended, regular]


@contextmanager
def exchange(body: bytes) -> Iterator[Settings]:
    """Settings of a replay whose exchange answers with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/control/clock"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: a line per request would clutter the test's output."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield REPLAY.model_copy(
            update={"polygon_rest_url": f"http://127.0.0.1:{server.server_port}/"}
        )
        server.shutdown()
        thread.join()


def test_the_clock_is_read_from_the_exchange() -> None:
    with exchange(json.dumps(RUNNING.as_json()).encode()) as settings:
        assert market_clock.connect(settings) == RUNNING


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"speed": 1}', b'{"speed": null, "begins": 0, "ends": 1, "anchors": []}', b"[]"],
)
def test_an_answer_that_is_not_a_clock_names_the_setting_and_the_cure(body: bytes) -> None:
    with (
        exchange(body) as settings,
        pytest.raises(
            MarketClockError, match=r"MARKET_REPLAY=2026-11-20T15:50.*unset MARKET_REPLAY"
        ),
    ):
        market_clock.connect(settings)
