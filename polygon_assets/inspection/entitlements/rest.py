"""Which REST endpoints the vendor's plan includes: one request for each kind that is read here.

Add an endpoint when a module begins to read one, with what does not work without it; how a request
is paced and refused belongs to `clients.polygon_transport`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.clients.polygon_answers import (
    PolygonApiError,
    PolygonKeyError,
    PolygonNoDataError,
    PolygonNotEntitledError,
    PolygonUnavailableError,
)
from polygon_assets.inspection.finding import Finding
from polygon_assets.market_calendar import MarketCalendar, Session

SYMBOL = "AAPL"
"""Trades in every minute of every session."""
PATIENCE_SECONDS = 60.0
"""Another program may have used the plan's requests of this minute."""
DELAY = dt.timedelta(minutes=20)
"""Delayed plans serve a bar after 15 minutes."""
PLAN_CURE = "compare the plans on the vendor's pricing page, and choose one that includes it"
AGAIN_CURE = "run `polygon-assets doctor --entitlements` again when that is over or mended"


@dataclass(frozen=True)
class Endpoint:
    """A kind of endpoint. `path` may have {day}, {since_ms} and {until_ms}."""

    name: str
    path: str
    params: dict[str, str]
    without: str
    """What does not work if the plan does not include it."""
    is_of_newest_session: bool = False
    """Whether the bars of a session that still goes on are needed too."""


ENDPOINTS = (
    Endpoint(
        "grouped daily bars",
        "/v2/aggs/grouped/locale/us/market/stocks/{day}",
        {"adjusted": "false", "include_otc": "true"},
        "snowflake/raw/grouped_daily and every mart of it stay empty",
    ),
    Endpoint(
        "daily open and close",
        f"/v1/open-close/{SYMBOL}/{{day}}",
        {"adjusted": "false"},
        "snowflake/raw/daily_open_close stays empty",
    ),
    Endpoint(
        "second aggregates",
        f"/v2/aggs/ticker/{SYMBOL}/range/1/second/{{since_ms}}/{{until_ms}}",
        {"adjusted": "false", "limit": "50000"},
        "`fill_gaps` cannot fill what the stream missed",
        is_of_newest_session=True,
    ),
    Endpoint(
        "minute aggregates",
        f"/v2/aggs/ticker/{SYMBOL}/range/1/minute/{{day}}/{{day}}",
        {"adjusted": "false", "limit": "50000"},
        "a day that differs cannot be compared minute by minute",
    ),
    Endpoint(
        "tickers",
        "/v3/reference/tickers",
        {"market": "stocks", "active": "true", "limit": "1"},
        "subscription CSVs cannot be validated, and snowflake/raw/tickers stays empty",
    ),
    Endpoint(
        "ticker types",
        "/v3/reference/tickers/types",
        {"asset_class": "stocks", "locale": "us"},
        "snowflake/raw/ticker_types stays empty",
    ),
    Endpoint(
        "exchanges",
        "/v3/reference/exchanges",
        {"asset_class": "stocks", "locale": "us"},
        "snowflake/raw/exchanges stays empty",
    ),
    Endpoint(
        "splits",
        "/stocks/v1/splits",
        {"limit": "1"},
        "snowflake/raw/stock_split stays empty, and prices are not adjusted",
    ),
    Endpoint(
        "announced closures",
        "/v1/marketstatus/upcoming",
        {},
        "the calendar cannot be compared with the vendor's",
    ),
)


def ask(rest: PolygonRest, calendar: MarketCalendar, now: dt.datetime) -> Iterator[Finding]:
    """One finding for each endpoint; `now` is market time.

    Ends early where the next requests would end the same way.
    """
    for number, endpoint in enumerate(ENDPOINTS, start=1):
        error = None
        try:
            rest.ask(path_of(endpoint, calendar, now), endpoint.params)
        except PolygonApiError as refusal:
            error = refusal
        yield judge(endpoint, error)
        left = [further.name for further in ENDPOINTS[number:]]
        if left and isinstance(error, PolygonKeyError | PolygonUnavailableError):
            message = f"not asked after this answer: {', '.join(left)}"
            yield Finding("plan: further endpoints", False, message, AGAIN_CURE)
            return


def path_of(endpoint: Endpoint, calendar: MarketCalendar, now: dt.datetime) -> str:
    """The path for the day before today, or for a minute of the newest session."""
    opened = newest_session(calendar, now).regular_open
    since_ms = int(opened.timestamp() * 1000)
    return endpoint.path.format(
        day=calendar.previous_day(calendar.day_of(now)),
        since_ms=since_ms,
        until_ms=since_ms + 59_999,
    )


def newest_session(calendar: MarketCalendar, now: dt.datetime) -> Session:
    """The newest session whose first minute every plan with its bars serves at `now`."""
    day = calendar.day_of(now)
    while (session := calendar.session(day)) is None or session.regular_open + DELAY > now:
        day = calendar.previous_day(day)
    return session


def judge(endpoint: Endpoint, error: PolygonApiError | None) -> Finding:
    """What an answer says about the plan; `error` is None where the vendor gave the data."""
    name = f"plan: {endpoint.name}"
    words = " ".join(str(error).split())
    if error is None:
        return Finding(name, True, "included")
    if isinstance(error, PolygonNoDataError):
        if endpoint.is_of_newest_session:
            lacks = f"not in the plan before the day is over, so {endpoint.without} that day"
            return Finding(name, False, f"{lacks}: {words}", PLAN_CURE)
        return Finding(name, True, f"included, though without data for this question: {words}")
    if isinstance(error, PolygonNotEntitledError):
        return Finding(name, False, f"not in the plan, so {endpoint.without}: {words}", PLAN_CURE)
    if isinstance(error, PolygonKeyError):
        return Finding(name, False, f"the key is refused: {words}", AGAIN_CURE)
    return Finding(name, False, f"not known: {words}", AGAIN_CURE)
