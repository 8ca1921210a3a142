"""Trading days and sessions, against the library the table was taken from."""

import datetime as dt

import pytest

from polygon_assets.market_calendar import NEW_YORK, CalendarHorizonError, MarketCalendar
from scripts.update_calendar import TARGET, exceptions

NYSE = MarketCalendar("NYSE")


def new_york(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=NEW_YORK)  # type: ignore[arg-type,misc]


@pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")
def test_the_table_is_what_the_library_says_today() -> None:
    rows = [tuple(line.split(",")) for line in TARGET.read_text().splitlines()[1:]]
    assert rows == exceptions()


@pytest.mark.parametrize(
    ("moment", "phase"),
    [
        (new_york(2026, 11, 20, 3, 59), "closed"),
        (new_york(2026, 11, 20, 4, 0), "pre"),
        (new_york(2026, 11, 20, 9, 30), "regular"),
        (new_york(2026, 11, 20, 16, 0), "post"),
        (new_york(2026, 11, 20, 20, 0), "closed"),
        (new_york(2026, 11, 27, 13, 0), "post"),
        (new_york(2026, 11, 27, 17, 0), "closed"),
    ],
)
def test_phases_of_a_full_day_and_of_an_early_close(moment: dt.datetime, phase: str) -> None:
    session = NYSE.session(moment.date())
    assert session is not None
    assert session.phase(moment) == phase
    assert NYSE.is_open(moment) == (phase != "closed")


def test_holidays_and_weekends_have_no_session() -> None:
    assert NYSE.session(dt.date(2026, 11, 26)) is None
    assert NYSE.session(dt.date(2026, 11, 22)) is None
    assert NYSE.holidays(dt.date(2026, 11, 1), dt.date(2026, 12, 31)) == [dt.date(2026, 11, 26), dt.date(2026, 12, 25)]


def test_the_change_of_the_clocks_moves_the_session_in_utc() -> None:
    before, after = NYSE.session(dt.date(2026, 10, 30)), NYSE.session(dt.date(2026, 11, 2))
    assert before is not None
    assert after is not None
    assert (before.extended_open.hour, after.extended_open.hour) == (8, 9)
    long_day = MarketCalendar("24/7").session(dt.date(2026, 11, 1))
    assert long_day is not None
    assert long_day.extended_close - long_day.extended_open == dt.timedelta(hours=25)


def test_next_and_previous_skip_what_is_closed() -> None:
    assert NYSE.next_session(new_york(2026, 11, 25, 21, 0)).day == dt.date(2026, 11, 27)
    assert NYSE.next_session(new_york(2026, 11, 27, 3, 0)).day == dt.date(2026, 11, 27)
    assert NYSE.previous_day(dt.date(2026, 11, 30)) == dt.date(2026, 11, 27)
    week = [dt.date(2026, 11, day) for day in (23, 24, 25, 27)]
    assert list(NYSE.trading_days(dt.date(2026, 11, 21), dt.date(2026, 11, 29))) == week
    assert NYSE.days_before(dt.date(2026, 11, 30), 3) == [dt.date(2026, 11, day) for day in (24, 25, 27)]


def test_a_day_beyond_the_table_is_refused_with_the_cure() -> None:
    with pytest.raises(CalendarHorizonError, match="update_calendar"):
        NYSE.session(dt.date(2040, 1, 3))


def test_the_simulated_exchange_never_closes() -> None:
    assert MarketCalendar("24/7").is_open(new_york(2026, 11, 22, 2, 0))
