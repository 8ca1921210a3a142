"""The daily comparison of the calendar with the vendor's announcements, as a check."""

import datetime as dt
from typing import Any

import pytest

from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.clients.polygon_answers import PolygonApiError
from polygon_assets.defs.batch.calendar_check import judge
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC)
SETTINGS = Settings(market_calendar="NYSE")
THANKSGIVING = [{"exchange": "NYSE", "date": "2026-11-26", "status": "closed"}]
AT_SHORT_NOTICE = [{"exchange": "NYSE", "date": "2026-11-24", "status": "closed"}]


def announce(monkeypatch: pytest.MonkeyPatch, entries: list[Any]) -> None:
    monkeypatch.setattr(PolygonRest, "upcoming_closures", lambda _: entries)


def test_announcements_that_the_calendar_has_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, THANKSGIVING)
    result = judge(SETTINGS, NOW)
    assert (result.passed, result.description) == (True, "1 announcements agree")


def test_a_closure_at_short_notice_fails_with_the_day_and_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announce(monkeypatch, [*THANKSGIVING, *AT_SHORT_NOTICE])
    result = judge(SETTINGS, NOW)
    assert not result.passed
    assert "2026-11-24: the vendor announces a closed market" in str(result.description)
    assert "MARKET_CLOSURES" in str(result.description)
    known = SETTINGS.model_copy(update={"market_closures": "2026-11-24"})
    assert judge(known, NOW).passed


def test_no_announcement_or_no_answer_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, [])
    assert not judge(SETTINGS, NOW).passed

    def refuse(_: PolygonRest) -> list[Any]:
        raise PolygonApiError("HTTP 401: Unknown API Key")

    monkeypatch.setattr(PolygonRest, "upcoming_closures", refuse)
    result = judge(SETTINGS, NOW)
    assert (result.passed, "Unknown API Key" in str(result.description)) == (False, True)
