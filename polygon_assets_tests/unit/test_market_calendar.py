"""Trading days and sessions, against the library from which the table was made."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from polygon_assets import market_calendar
from polygon_assets.batch.announced_closures import differences
from polygon_assets.market_calendar import (
    NEW_YORK,
    CalendarHorizonError,
    MarketCalendar,
    announced_closures,
)
from polygon_assets.market_clock import calendar_of
from polygon_assets.settings import Settings, SettingsError
from scripts.update_calendar import TARGET, exceptions

NYSE = MarketCalendar("NYSE")


def new_york(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=NEW_YORK)  # type: ignore[arg-type,misc]


@pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")
def test_the_table_equals_the_library_of_today() -> None:
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
    assert NYSE.holidays(dt.date(2026, 11, 1), dt.date(2026, 12, 31)) == [
        dt.date(2026, 11, 26),
        dt.date(2026, 12, 25),
    ]


def test_the_change_of_the_clocks_moves_the_session_in_utc() -> None:
    before, after = NYSE.session(dt.date(2026, 10, 30)), NYSE.session(dt.date(2026, 11, 2))
    assert before is not None
    assert after is not None
    assert (before.extended_open.hour, after.extended_open.hour) == (8, 9)
    long_day = MarketCalendar("24/7").session(dt.date(2026, 11, 1))
    assert long_day is not None
    assert long_day.extended_close - long_day.extended_open == dt.timedelta(hours=25)


def test_next_and_previous_skip_closed_days() -> None:
    assert NYSE.next_session(new_york(2026, 11, 25, 21, 0)).day == dt.date(2026, 11, 27)
    assert NYSE.next_session(new_york(2026, 11, 27, 3, 0)).day == dt.date(2026, 11, 27)
    assert NYSE.previous_day(dt.date(2026, 11, 30)) == dt.date(2026, 11, 27)
    week = [dt.date(2026, 11, day) for day in (23, 24, 25, 27)]
    assert list(NYSE.trading_days(dt.date(2026, 11, 21), dt.date(2026, 11, 29))) == week
    assert NYSE.days_before(dt.date(2026, 11, 30), 3) == [
        dt.date(2026, 11, day) for day in (24, 25, 27)
    ]


def test_a_day_beyond_the_table_is_refused_with_the_cure() -> None:
    with pytest.raises(CalendarHorizonError, match="update_calendar"):
        NYSE.session(dt.date(2040, 1, 3))


def test_the_simulated_exchange_never_closes() -> None:
    assert MarketCalendar("24/7").is_open(new_york(2026, 11, 22, 2, 0))


def nyse(closures: str) -> MarketCalendar:
    return calendar_of(
        Settings.model_validate({"market_calendar": "NYSE", "market_closures": closures})
    )


def test_a_closure_or_early_close_at_short_notice_is_one_line_in_the_setting() -> None:
    calendar = nyse("2026-12-10; 2026-12-11 13:00;")
    assert calendar.session(dt.date(2026, 12, 10)) is None
    assert calendar.holidays(dt.date(2026, 12, 1), dt.date(2026, 12, 31)) == [
        dt.date(2026, 12, 10),
        dt.date(2026, 12, 25),
    ]
    session = calendar.session(dt.date(2026, 12, 11))
    assert session is not None
    assert (session.regular_close, session.extended_close) == (
        new_york(2026, 12, 11, 13),
        new_york(2026, 12, 11, 17),
    )
    assert NYSE.session(dt.date(2026, 12, 10)) is not None
    assert calendar.session(dt.date(2026, 12, 9)) == NYSE.session(dt.date(2026, 12, 9))


def test_the_file_adds_days_and_the_setting_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "market_closures.csv"
    file.write_text("date,regular_close,reason\n2026-12-10,,mourning\n2026-12-11,14:30,storm\n")
    monkeypatch.setattr(market_calendar, "CLOSURES", file)
    calendar = nyse("2026-12-11")
    assert [calendar.session(dt.date(2026, 12, day)) for day in (10, 11)] == [None, None]
    file.write_text("date,regular_close,reason\n2026-12-10,noon,\n")
    with pytest.raises(SettingsError, match=r"market_closures\.csv, line 2: 2026-12-10 noon"):
        nyse("2026-12-12")


@pytest.mark.parametrize(
    "line",
    [
        "tomorrow",
        "2026-13-01",
        "2026-12-10 noon",
        "2026-12-10 17:00",
        "2026-12-10 09:30",
        "2026-12-10,2026-12-11",
        "10.12.2026",
    ],
)
def test_an_unreadable_closure_is_named_with_the_cure(line: str) -> None:
    with pytest.raises(SettingsError, match=r"MARKET_CLOSURES: .*YYYY-MM-DD"):
        nyse(line)


TODAY = dt.date(2026, 11, 20)


def entry(
    day: str, status: str = "closed", exchange: str = "NYSE", **changes: Any
) -> dict[str, Any]:
    return {"date": day, "exchange": exchange, "name": "Holiday", "status": status, **changes}


THANKSGIVING = [
    *(entry("2026-11-26", exchange=exchange) for exchange in ("NYSE", "NASDAQ", "OTC")),
    entry(
        "2026-11-27",
        "early-close",
        open="2026-11-27T14:30:00.000Z",
        close="2026-11-27T18:00:00.000Z",
    ),
    entry(
        "2026-12-24",
        "early-close",
        open="2026-12-24T14:30:00.000Z",
        close="2026-12-24T18:00:00.000Z",
    ),
    entry("2026-12-25"),
]


def test_a_calendar_that_agrees_with_the_vendor_has_no_difference() -> None:
    assert differences(NYSE, THANKSGIVING, TODAY) == []
    assert differences(NYSE, [*THANKSGIVING, entry("2026-12-10", exchange="LSE")], TODAY) == []


def test_today_is_judged_where_the_vendor_announces_it() -> None:
    holiday = dt.date(2026, 11, 26)
    assert differences(NYSE, THANKSGIVING[3:], holiday) == []
    [difference] = differences(NYSE, [entry("2026-11-20"), *THANKSGIVING], TODAY)
    assert difference.startswith("2026-11-20: the vendor announces a closed market")


@pytest.mark.parametrize("announced", [[], [entry("2026-12-10", exchange="XNYS")]])
def test_a_list_without_a_day_of_these_exchanges_cannot_be_compared(announced: list[Any]) -> None:
    [difference] = differences(NYSE, announced, TODAY)
    assert "no day of NASDAQ or NYSE" in difference


@pytest.mark.parametrize(
    ("announced", "sentence"),
    [
        (
            [*THANKSGIVING, entry("2026-12-10")],
            "2026-12-10: the vendor announces a closed market, the calendar has a close at 16:00",
        ),
        (
            [
                *THANKSGIVING,
                entry("2026-12-10", "early-close", "NASDAQ", close="2026-12-10T18:00:00.000Z"),
            ],
            "2026-12-10: the vendor announces a close at 13:00 New York, "
            "the calendar has a close at 16:00",
        ),
        (
            [*THANKSGIVING[:3], *THANKSGIVING[4:]],
            "2026-11-27: the vendor announces a close at 16:00 New York, "
            "the calendar has a close at 13:00",
        ),
        (
            THANKSGIVING[3:],
            "2026-11-26: the vendor announces a close at 16:00 New York, "
            "the calendar has a closed market",
        ),
        ([*THANKSGIVING, entry("soon")], "cannot be read"),
        ([*THANKSGIVING, entry("2026-12-10", "early-close")], "cannot be read"),
        ([*THANKSGIVING, entry("2026-12-10", "half-day")], "cannot be read"),
        (
            [*THANKSGIVING, entry("2026-11-27", "early-close", close="2026-11-27T18:00:00")],
            "close '2026-11-27T18:00:00' has no time zone",
        ),
        ([*THANKSGIVING, entry("9999-12-31")], "cannot be read (CalendarHorizonError"),
        (
            [*THANKSGIVING, entry("2026-11-27", exchange="NASDAQ")],
            "2026-11-27: the vendor announces a close at 13:00 New York for one exchange and a "
            "closed market for another",
        ),
        (
            [entry("2026-11-27", exchange="NASDAQ"), *THANKSGIVING[:3], *THANKSGIVING[4:]],
            "2026-11-27: the vendor announces a closed market, the calendar has a close at 13:00",
        ),
        ([*THANKSGIVING, "2026-12-10"], "cannot be read"),
        ([*THANKSGIVING, None], "cannot be read"),
    ],
)
def test_each_difference_is_a_sentence(announced: list[Any], sentence: str) -> None:
    [difference] = differences(NYSE, announced, TODAY)
    assert sentence in difference


def test_an_early_close_with_a_time_zone_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"MARKET_CLOSURES: 2026-12-10 13:00\+05:00: "):
        announced_closures(Settings(market_closures="2026-12-10 13:00+05:00"))


def test_a_closure_with_a_wrong_year_does_not_widen_the_table() -> None:
    closures = announced_closures(Settings(market_closures="9999-12-31"))
    with pytest.raises(CalendarHorizonError, match="2300-01-03"):
        MarketCalendar("NYSE", closures).session(dt.date(2300, 1, 3))
