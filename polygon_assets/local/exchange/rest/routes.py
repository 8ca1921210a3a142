"""The vendor's REST API: keys, limits, routes, envelopes and error bodies.

Add a route here; the content of answers belongs to `reference` and `aggregates`.
"""

import datetime as dt
import re
import time
import uuid
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from polygon_assets.local.exchange.exchange import Exchange
from polygon_assets.local.exchange.http import Reply, Request
from polygon_assets.local.exchange.rest import aggregates, reference
from polygon_assets.local.exchange.rest.query import (
    BadRequestError,
    Page,
    Record,
    check_names,
    choice_of,
    opened,
)
from polygon_assets.market_calendar import CalendarHorizonError

Route = Callable[[Exchange, Request, dt.datetime, dict[str, str]], Reply]

UNKNOWN_KEY = "Unknown API Key"
NOT_ENTITLED = "You are not entitled to this data. Please upgrade your plan."
DAY_NOT_OVER = "Attempted to request today's data before end of day. Please upgrade your plan."
TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to "
    "continue."
)
_DAILY = ("/v2/aggs/grouped/", "/v1/open-close/")

_IN_PATH = {"locale": "us", "market_type": "stocks"}
"""Parts of the grouped daily path that the vendor's own client repeats in the query."""


def respond(exchange: Exchange, request: Request) -> Reply:
    """Answer a request that is not refused; run it in a thread, because it can take seconds."""
    now = dt.datetime.fromtimestamp(exchange.clock.now(), dt.UTC)
    for pattern, route in ROUTES:
        if match := pattern.fullmatch(request.path):
            try:
                return route(exchange, request, now, match.groupdict()).prepared()
            except (BadRequestError, CalendarHorizonError) as error:
                return Reply(
                    400, {"status": "ERROR", "request_id": _request_id(), "error": str(error)}
                )
    return Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})


def refusal(exchange: Exchange, request: Request) -> Reply | None:
    """The refusal of a request, or None; the vendor checks the key first, then rate, then plan."""
    if faulty_reply := exchange.faults.take_reply(request.path):
        return faulty_reply
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not exchange.knows_key(request.query.get("apiKey", bearer)):
        return error_reply(401)
    if exchange.over_rate(time.monotonic()):
        return error_reply(429)
    if any(request.path.startswith(prefix) for prefix in exchange.faults.refused_paths):
        return error_reply(403)
    if (
        exchange.faults.today_refused
        and request.path.startswith(_DAILY)
        and request.path.endswith(f"/{_today(exchange)}")
    ):
        return Reply(
            403, {"status": "NOT_AUTHORIZED", "request_id": _request_id(), "message": DAY_NOT_OVER}
        )
    return None


def _today(exchange: Exchange) -> dt.date:
    return aggregates.today(dt.datetime.fromtimestamp(exchange.clock.now(), dt.UTC))


def error_reply(status: int, headers: dict[str, str] | None = None) -> Reply:
    """The vendor's reply for an error status, with the text in `error` or `message`."""
    name, text, key = {
        401: ("ERROR", UNKNOWN_KEY, "error"),
        403: ("NOT_AUTHORIZED", NOT_ENTITLED, "message"),
        404: ("NOT_FOUND", "Data not found.", "message"),
        429: ("ERROR", TOO_MANY, "error"),
    }.get(status, ("ERROR", "Internal server error", "error"))
    return Reply(status, {"status": name, "request_id": _request_id(), key: text}, headers or {})


def _request_id() -> str:
    return uuid.uuid4().hex


def enveloped(results: list[Record], **further: object) -> Reply:
    return Reply(
        content={
            "results": results,
            "status": "OK",
            "request_id": _request_id(),
            "count": len(results),
        }
        | further
    )


def _next_url(request: Request, cursor: str) -> dict[str, str]:
    """The absolute address of the next page, without the key, like the vendor's."""
    return {"next_url": f"{_server(request)}{request.path}?cursor={cursor}"} if cursor else {}


def _server(request: Request) -> str:
    return f"http://{request.headers.get('host', 'localhost')}"


def _paged(
    source: Callable[..., Page],
    exchange: Exchange,
    request: Request,
    now: dt.datetime,
    _path: dict[str, str],
) -> Reply:
    query = {name: value for name, value in request.query.items() if name != "apiKey"}
    page = source(exchange.market, opened(query), now)
    return enveloped(page.records, **_next_url(request, page.cursor))


def _listed(
    source: Callable[..., list[Record]],
    _exchange: Exchange,
    request: Request,
    _now: dt.datetime,
    _path: dict[str, str],
) -> Reply:
    return enveloped(source(request.query))


def _bare(
    source: Callable[..., object],
    exchange: Exchange,
    request: Request,
    now: dt.datetime,
    _path: dict[str, str],
) -> Reply:
    check_names(request.query, ())
    return Reply(content=source(exchange.market, now))


def _range(exchange: Exchange, request: Request, now: dt.datetime, path: dict[str, str]) -> Reply:
    check_names(request.query, ("adjusted", "sort", "limit"))
    window = aggregates.parse_range(path, request.query)
    page = aggregates.aggregate_range(exchange.market, window, now)
    further: Record = {}
    if page.resume_ms is not None:
        first, last = (
            (path["first"], page.resume_ms) if window.descending else (page.resume_ms, path["last"])
        )
        query = urlencode(
            {name: value for name, value in request.query.items() if name != "apiKey"}
        )
        prefix = request.path.rsplit("/", 2)[0]
        further = {"next_url": f"{_server(request)}{prefix}/{first}/{last}?{query}"}
    counts = {"queryCount": page.base_count, "adjusted": window.adjusted}
    return _aggregates(page.results, ticker=path["ticker"], **counts, **further)


def _grouped(exchange: Exchange, request: Request, now: dt.datetime, path: dict[str, str]) -> Reply:
    check_names(request.query, ("adjusted", "include_otc", *_IN_PATH))
    for name, value in _IN_PATH.items():
        choice_of(request.query, name, (value,))
    results = aggregates.grouped_daily(
        exchange.market, aggregates.parse_date(path["day"]), request.query, now
    )
    return _aggregates(
        results, queryCount=len(results), adjusted=aggregates.is_adjusted(request.query)
    )


def _previous(
    exchange: Exchange, request: Request, now: dt.datetime, path: dict[str, str]
) -> Reply:
    check_names(request.query, ("adjusted",))
    results = aggregates.previous_day(exchange.market, path["ticker"], request.query, now)
    return _aggregates(
        results,
        ticker=path["ticker"],
        queryCount=len(results),
        adjusted=aggregates.is_adjusted(request.query),
    )


def _open_close(
    exchange: Exchange, request: Request, now: dt.datetime, path: dict[str, str]
) -> Reply:
    check_names(request.query, ("adjusted",))
    try:
        day = aggregates.parse_date(path["day"])
    except BadRequestError:
        # The vendor was observed to answer 403 to a malformed date.
        return error_reply(403)
    record = aggregates.open_close(exchange.market, path["ticker"], day, request.query, now)
    return Reply(content=record) if record else error_reply(404)


def _aggregates(results: list[Record], **further: object) -> Reply:
    """The aggregates' envelope; without results the key `results` is missing, as the vendor's."""
    contents: Record = {"results": results} if results else {}
    content = {
        "status": "OK",
        "request_id": _request_id(),
        "resultsCount": len(results),
        "count": len(results),
    }
    return Reply(content=content | further | contents)


ROUTES: tuple[tuple[re.Pattern[str], Route], ...] = (
    (
        re.compile(
            "/v2/aggs/ticker/(?P<ticker>[^/]+)/range/(?P<multiplier>[^/]+)/(?P<timespan>[^/]+)"
            "/(?P<first>[^/]+)/(?P<last>[^/]+)"
        ),
        _range,
    ),
    (re.compile("/v2/aggs/grouped/locale/us/market/stocks/(?P<day>[^/]+)"), _grouped),
    (re.compile("/v2/aggs/ticker/(?P<ticker>[^/]+)/prev"), _previous),
    (re.compile("/v1/open-close/(?P<ticker>[^/]+)/(?P<day>[^/]+)"), _open_close),
    (re.compile("/v3/reference/tickers"), partial(_paged, reference.tickers)),
    (re.compile("/v3/reference/tickers/types"), partial(_listed, reference.ticker_types)),
    (re.compile("/v3/reference/exchanges"), partial(_listed, reference.exchanges)),
    (re.compile("/v3/reference/splits"), partial(_paged, reference.splits)),
    (re.compile("/stocks/v1/splits"), partial(_paged, reference.splits_v1)),
    (re.compile("/v1/marketstatus/now"), partial(_bare, reference.market_status)),
    (re.compile("/v1/marketstatus/upcoming"), partial(_bare, reference.upcoming)),
)
