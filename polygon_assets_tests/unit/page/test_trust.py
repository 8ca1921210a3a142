"""What the view of trust shows: coverage by channel, delays, and the state of each day."""

import datetime as dt
from typing import Any

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.page.candles import COLORS
from polygon_assets.page.trust import (
    ALL,
    days,
    delays,
    merged,
    rates,
    timeline,
)
from polygon_assets.page.trust_tables import days_html
from polygon_assets_tests.unit.page.timelines import HOUR, SECOND, SESSION, START, gap, part, shown

NYSE = MarketCalendar("NYSE")


def test_the_session_so_far_is_streamed_a_gap_or_unknown() -> None:
    covered = [part(0, 1), part(1, 2), part(4, 5)]
    bars = timeline(covered, [gap(2, 3, "verified")], SESSION, START + 5 * HOUR)
    assert shown(bars) == [
        (ALL, 0, 2, COLORS["streamed"]),
        (ALL, 4, 5, COLORS["streamed"]),
        (ALL, 3, 4, COLORS["gap"]),
        (ALL, 2, 3, COLORS["verified"]),
    ]


def test_the_last_seconds_are_not_unknown_until_a_heartbeat_is_due() -> None:
    for seconds, count in ((14, 1), (16, 2)):
        now = START + HOUR + seconds * SECOND
        assert len(timeline([part(0, 1)], [], SESSION, now)["row"]) == count


def test_a_doubted_channel_has_a_line_of_its_own() -> None:
    doubt = gap(1, 2, channels=["A.AAPL"], gap_id="doubt-1")
    rows = timeline([part(0, 4)], [doubt], SESSION, START + 4 * HOUR)["row"]
    assert rows == [ALL, "A.AAPL"]


def test_a_gap_is_cut_to_the_session() -> None:
    bars = timeline([], [gap(-1, 1), gap(-3, -2)], SESSION, START + HOUR)
    assert shown(bars) == [(ALL, 0, 1, COLORS["gap"])]


def test_touching_intervals_are_one() -> None:
    assert list(merged([part(0, 1), part(1, 2), part(3, 4)])) == [part(0, 2), part(3, 4)]
    assert list(merged([])) == []


def test_the_minute_that_still_fills_has_no_delay_yet() -> None:
    rows = [{"minute": START + n * HOUR, "rows": n, "p50": 1.0, "p99": 2.0} for n in range(3)]
    assert delays(rows)["rows"] == [0, 1]
    assert delays([]) == {"minute": [], "rows": [], "p50": [], "p99": []}


def test_rates_are_by_time_of_day_without_the_minute_that_still_fills() -> None:
    nine = dt.datetime(2026, 11, 20, 14, 0, tzinfo=dt.UTC)
    rows = [
        {"minute": nine - 24 * HOUR, "rows": 120, "is_today": False},
        {"minute": nine, "rows": 60, "is_today": True},
        {"minute": nine + 60 * SECOND, "rows": 1, "is_today": True},
    ]
    nine_ms = 9 * 3_600_000
    assert rates(rows, today=True) == {"time": [nine_ms], "rate": [1.0]}
    assert rates(rows, today=False) == {"time": [nine_ms], "rate": [2.0]}


def filled(day: dt.date, after_settling: dt.timedelta = SECOND) -> dict[str, Any]:
    session = NYSE.session(day)
    assert session is not None
    return {"trading_day": day, "filled_at": session.settled_at + after_settling}


def test_a_day_is_open_closed_reconciled_or_drifts() -> None:
    tuesday = dt.date(2026, 11, 24)
    monday, friday, thursday = (tuesday - dt.timedelta(days=age) for age in (1, 4, 5))
    compared = [
        {"trading_day": thursday, "verdict": "match", "symbols": 5},
        {"trading_day": thursday, "verdict": "drift", "symbols": 2},
        {"trading_day": friday, "verdict": "match", "symbols": 7},
    ]
    noon = dt.datetime(2026, 11, 24, 17, tzinfo=dt.UTC)
    # While the market is open, the bars of today are filled too.
    today = {"trading_day": tuesday, "filled_at": noon}
    listed = days(
        [filled(thursday), filled(friday), filled(monday), today], compared, [], NYSE, noon
    )
    assert [(day.day, day.state) for day in listed] == [
        (tuesday, "open"),
        (monday, "closed"),
        (friday, "reconciled"),
        (thursday, "drift"),
    ]
    assert (listed[3].matching, listed[3].different) == (5, {"drift": 2})


def test_every_day_has_a_cell_that_leads_to_its_rows() -> None:
    first = dt.date(2025, 1, 2)
    traded = list(NYSE.trading_days(first, dt.date(2026, 11, 20)))
    noon = dt.datetime(2026, 11, 23, 17, tzinfo=dt.UTC)
    listed = days([filled(day) for day in traded], [], [], NYSE, noon)
    page = days_html(listed)
    for day in traded:
        assert f'href="day/{day}" style="border-color:{COLORS["verified"]}"' in page
    assert page.count('<a class="day"') == len(traded) + 1
    assert page.index(">2026-11<") < page.index(">2025-01<")


def test_a_sunday_is_no_day() -> None:
    sunday = dt.datetime(2026, 11, 22, 17, tzinfo=dt.UTC)
    friday = dt.date(2026, 11, 20)
    assert [day.day for day in days([filled(friday)], [], [], NYSE, sunday)] == [friday]


def test_a_day_is_open_until_its_bars_were_filled_after_the_last_correction() -> None:
    monday = dt.date(2026, 11, 23)
    noon = dt.datetime(2026, 11, 24, 17, tzinfo=dt.UTC)
    for lag, state in ((-SECOND, "open"), (0 * SECOND, "closed")):
        assert days([filled(monday, lag)], [], [], NYSE, noon)[1].state == state


def test_a_day_with_an_unsettled_gap_is_open_again() -> None:
    friday = START.date()
    compared = [{"trading_day": friday, "verdict": "match", "symbols": 7}]
    noon = dt.datetime(2026, 11, 24, 17, tzinfo=dt.UTC)
    for known, state in (
        (gap(1, 2), "open"),
        (gap(1, 2, "filled"), "open"),
        (gap(1, 2, "verified"), "reconciled"),
        (gap(30, 31), "reconciled"),
        (gap(-9, -8), "reconciled"),
        (gap(-9, -8, gap_id="unreadable-1"), "open"),
    ):
        assert days([filled(friday)], compared, [known], NYSE, noon)[1].state == state
