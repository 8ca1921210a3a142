"""One trading day: which address is one, its gaps, and the rows of its comparison."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.page.day_view import NOT_COMPARED, gaps_of, session_of, symbols_html

NYSE = MarketCalendar("NYSE")
FRIDAY = dt.date(2026, 11, 20)


@pytest.mark.parametrize(
    "name", ["", "today", "2026-11-31", "2026-11-22", "1900-01-02", "<b>", "20.11.2026"]
)
def test_only_a_trading_day_has_a_view(name: str) -> None:
    """A word, no date, a Sunday, beyond the calendar, markup."""
    assert session_of(name, NYSE) is None


def test_where_every_day_is_one_the_last_of_all_has_no_view() -> None:
    assert session_of("9999-12-31", MarketCalendar("24/7")) is None


def test_a_trading_day_is_read_from_the_address() -> None:
    session = session_of("2026-11-20", NYSE)
    assert session
    assert session.day == FRIDAY


def test_the_gaps_of_a_day_are_those_that_touch_its_session() -> None:
    session = NYSE.session(FRIDAY)
    assert session
    hour = dt.timedelta(hours=1)

    def gap(name: str, since: dt.datetime) -> dict[str, Any]:
        return {"gap_id": name, "since": since, "until": since + hour}

    ledger = [
        gap("before", session.extended_open - hour),
        gap("across the open", session.extended_open - hour / 2),
        gap("within", session.regular_open),
        gap("after", session.extended_close),
        gap("unreadable-1", session.extended_close + hour),
    ]
    chosen = [row["gap_id"] for row in gaps_of(session, ledger)]
    assert chosen == ["across the open", "within", "unreadable-1"]


def test_the_rows_show_both_sides_and_what_differs() -> None:
    row = {
        "symbol": "BRK.B",
        "verdict": "missing_in_stream",
        "stream_close": None,
        "batch_close": 411.5,
        "stream_volume": None,
        "batch_volume": Decimal(1_200_300),
        "volume_drift": None,
        "price_drift": 0.00025,
        "different_minutes": "10:31-10:33",
    }
    shown = symbols_html([row])
    assert '<a href="../symbol/BRK.B">BRK.B</a>' in shown
    assert '<span class="problem">missing in stream</span>' in shown
    cells = "<td></td><td>411.50</td><td></td><td>1,200,300</td><td></td><td>0.025%</td>"
    assert cells in shown
    assert "10:31-10:33" in shown
    assert symbols_html([]) == NOT_COMPARED
