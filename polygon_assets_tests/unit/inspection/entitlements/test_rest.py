"""What an answer to a REST request says about the plan, and what is asked when."""

import datetime as dt

import pytest

from polygon_assets.clients.polygon_answers import (
    PolygonApiError,
    PolygonKeyError,
    PolygonNoAnswerError,
    PolygonNoDataError,
    PolygonNotEntitledError,
    PolygonUnavailableError,
)
from polygon_assets.inspection.doctor import entitlement_seconds
from polygon_assets.inspection.entitlements.rest import ENDPOINTS, judge, newest_session, path_of
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.settings import Settings

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
GROUPED, SECONDS = BY_NAME["grouped daily bars"], BY_NAME["second aggregates"]
CALENDAR = MarketCalendar("NYSE")


def new_york(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, day, hour, minute, tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("error", "ok", "words"),
    [
        (None, True, "included"),
        (PolygonNoDataError("Data not found"), True, "included, though without data"),
        (
            PolygonNotEntitledError("upgrade"),
            False,
            "not in the plan, so snowflake/raw/grouped_daily",
        ),
        (PolygonKeyError("Unknown API Key"), False, "the key is refused"),
        (PolygonUnavailableError("HTTP 429"), False, "not known"),
        (PolygonNoAnswerError("null"), False, "not known"),
        (PolygonApiError("HTTP 400"), False, "not known"),
    ],
)
def test_each_answer_says_whether_the_plan_includes_the_endpoint(
    error: PolygonApiError | None, ok: bool, words: str
) -> None:
    finding = judge(GROUPED, error)
    assert (finding.name, finding.ok) == ("plan: grouped daily bars", ok)
    assert finding.message.startswith(words)
    assert ok or (str(error) in finding.message and finding.cure)


def test_seconds_that_come_only_after_the_day_cannot_fill_its_gaps() -> None:
    finding = judge(SECONDS, PolygonNoDataError("before end of day"))
    assert not finding.ok
    assert "not in the plan before the day is over, so `fill_gaps` cannot" in finding.message


@pytest.mark.parametrize(
    ("now", "daily", "seconds"),
    [
        (new_york(24, 11), 23, 24),
        (new_york(24, 9, 40), 23, 23),
        (new_york(24, 23), 23, 24),
        (new_york(22, 12), 20, 20),  # a Sunday
        (new_york(26, 12), 25, 25),  # Thanksgiving
    ],
)
def test_daily_bars_are_of_a_day_that_is_over_and_seconds_of_the_newest_session(
    now: dt.datetime, daily: int, seconds: int
) -> None:
    assert path_of(GROUPED, CALENDAR, now).endswith(f"/2026-11-{daily}")
    assert newest_session(CALENDAR, now).day == dt.date(2026, 11, seconds)
    opened = int(new_york(seconds, 9, 30).timestamp() * 1000)
    assert path_of(SECONDS, CALENDAR, now).endswith(f"/second/{opened}/{opened + 59_999}")


def test_the_time_that_is_named_beforehand_follows_the_plans_requests_per_minute() -> None:
    assert entitlement_seconds(Settings(polygon_requests_per_minute=0)) == 0
    # The market's status is the first of ten requests, which are twelve seconds apart.
    assert entitlement_seconds(Settings(polygon_requests_per_minute=5)) == 108
