"""Daily bars of any day by REST, in the shape of the connector's records, for days that Airbyte cannot be asked for.

Fetching only: `warehouse` writes what is given here into the table that Airbyte loads. The same day has the same values either way.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import urllib3

from polygon_assets.clients.polygon import PolygonApiError, PolygonNoDataError, PolygonRest

Record = dict[str, Any]


def grouped_daily(rest: PolygonRest, day: dt.date) -> list[Record]:
    """The day's bar of every ticker, OTC included, unadjusted; none if the market was closed. Raises PolygonApiError."""
    answer = _answer(rest.get_grouped_daily_aggs, day, include_otc=True)
    return [_record(_grouped, bar, day) for bar in answer.get("results") or ()]


def daily_open_close(rest: PolygonRest, day: dt.date, tickers: Iterable[str]) -> list[Record]:
    """The day's official prices of each ticker, one request each; those that did not trade are left out. Raises PolygonApiError."""
    answers = [_answer(rest.get_daily_open_close_agg, ticker, day) for ticker in tickers]
    return [_record(_open_close, answer, day) for answer in answers if answer]


def _answer(method: Callable[..., urllib3.BaseHTTPResponse], *asked: object, **options: object) -> Mapping[str, Any]:
    """The answer as sent (the vendor's models drop the exact volume), empty where there is nothing."""
    try:
        data = method(*asked, adjusted=False, raw=True, **options).data
    except PolygonNoDataError:
        return {}
    try:
        content: Any = json.loads(data)
    except ValueError as error:
        raise PolygonApiError(f"unreadable answer: {error}: {data[:200]!r}") from error
    # Without results it would pass for a day on which nothing was traded.
    if not isinstance(content, dict) or content.get("status") == "ERROR":
        raise PolygonApiError(f"HTTP 200 with an error for an answer: {data[:200]!r}")
    return content


def _record(made_of: Callable[[Mapping[str, Any], dt.date], Record], sent: Mapping[str, Any], day: dt.date) -> Record:
    try:
        return made_of(sent, day)
    except KeyError as error:
        raise PolygonApiError(f"the vendor's bar of {day} has no {error}: {dict(sent)}") from error


def _grouped(bar: Mapping[str, Any], day: dt.date) -> Record:
    return {
        "ticker": bar["T"],
        "date": day.isoformat(),
        "window_start_ms": bar.get("t"),
        "open": bar.get("o"),
        "high": bar.get("h"),
        "low": bar.get("l"),
        "close": bar.get("c"),
        "volume": bar.get("dv") or _decimal(bar["v"]),
        "vwap": bar.get("vw"),
        "transactions": bar.get("n"),
        "otc": bar.get("otc", False),
    }


def _open_close(answer: Mapping[str, Any], day: dt.date) -> Record:
    return {
        "ticker": answer["symbol"],
        "date": day.isoformat(),
        "open": answer.get("open"),
        "high": answer.get("high"),
        "low": answer.get("low"),
        "close": answer.get("close"),
        "volume": _decimal(answer["volume"]),
        "pre_market": answer.get("preMarket"),
        "after_hours": answer.get("afterHours"),
        "otc": answer.get("otc"),
    }


def _decimal(volume: float) -> str:
    """A JSON number written out: no exponent, and no fraction where it is whole."""
    return str(int(volume) if volume == int(volume) else volume)
