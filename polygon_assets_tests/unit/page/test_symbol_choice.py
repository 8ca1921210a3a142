"""What is visible of a symbol at first, and the moments that an address may name."""

import datetime as dt

import pytest

from polygon_assets.market_calendar import CalendarHorizonError, MarketCalendar
from polygon_assets.page.symbol_choice import Chosen, moment_in

NYSE = MarketCalendar("NYSE")
OPENING = dt.datetime(2024, 3, 8, 14, 30, tzinfo=dt.UTC)
"""Of a Friday."""
DAY, NOON = dt.timedelta(days=1), OPENING + dt.timedelta(hours=2.5)


@pytest.mark.parametrize(
    ("every", "span", "begins"),
    [
        ("10s", "recent", dt.timedelta(seconds=-1160)),
        ("1s", "1 hour", dt.timedelta(hours=-1)),
        ("1m", "1 hour", dt.timedelta(hours=-1)),
        ("1s", "day", dt.timedelta(hours=-8)),
        ("1m", "day", dt.timedelta(hours=-8)),
        ("1d", "day", dt.timedelta(days=-116)),
    ],
)
def test_a_span_is_an_hour_the_day_so_far_or_some_bars(
    every: str, span: str, begins: dt.timedelta
) -> None:
    assert Chosen("A", every, span=span).window(NYSE, NOON) == (NOON + begins, NOON)


@pytest.mark.parametrize(
    "moment", [NOON - 5 * DAY, NOON - 6 * DAY, NOON - 4 * DAY - dt.timedelta(hours=9)], ids=str
)
def test_before_the_open_and_on_a_closed_day_the_day_is_the_one_before(moment: dt.datetime) -> None:
    """Sunday, Saturday, and Monday at three in the morning."""
    begin, end = Chosen("A", "1s", moment, "day").window(NYSE, NOON)
    friday = NOON - 7 * DAY
    assert (begin, end) == (friday - dt.timedelta(hours=8), friday + dt.timedelta(hours=8))


def test_the_day_of_a_moment_before_the_open_is_not_the_one_that_opens_next() -> None:
    early = OPENING.replace(hour=8, minute=45)  # a quarter of an hour before the extended open
    _, end = Chosen("A", "1m", early, "day").window(NYSE, NOON)
    assert end < early


def test_a_day_beyond_the_calendar_is_refused_with_its_date() -> None:
    old = dt.datetime(1999, 1, 4, 15, tzinfo=dt.UTC)
    with pytest.raises(CalendarHorizonError, match="1999"):
        Chosen("A", "1s", old, "day").window(NYSE, NOON)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-08T14:30:00Z", OPENING),
        ("2024-03-08T14:30", OPENING),
        ("2024-03-08 09:30:00-05:00", OPENING),
        ("2024-03-08T14:30:00 00:00", OPENING),
        ("yesterday", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59", None),
        ("", None),
    ],
)
def test_the_moment_in_an_address_may_have_any_form_of_iso_8601(
    text: str, moment: dt.datetime | None
) -> None:
    assert moment_in(text) == moment
