"""Fetches daily bars of any day by REST, as records of the connector's shape.

Add another daily endpoint here; writing its records belongs to `table_writer`. A sync cannot
request a single past day. Both ways give the same day the same values.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from polygon_assets.batch.raw.numbers import decimal_text, integer, price
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.clients.polygon_answers import (
    PolygonNoAnswerError,
    PolygonNoDataError,
    answer,
    bars,
)

Record = dict[str, Any]
PATH = "/v2/aggs/grouped/locale/us/market/stocks/{}"
OPEN_CLOSE_NUMBERS = ("open", "high", "low", "close", "volume", "preMarket", "afterHours")
T = TypeVar("T")


def grouped_daily(rest: PolygonRest, day: dt.date) -> list[Record]:
    """The day's unadjusted bar of every ticker, OTC included; empty if the market was closed.

    Raises PolygonApiError.
    """

    def request() -> list[Mapping[str, Any]]:
        data = rest.get_grouped_daily_aggs(day, adjusted=False, raw=True, include_otc=True).data
        return _bars(answer(data, PATH.format(day)), PATH.format(day))

    return [_grouped_record(bar, day) for bar in _with_retries(rest, request) or ()]


def daily_open_close(rest: PolygonRest, day: dt.date, tickers: Iterable[str]) -> list[Record]:
    """The day's official prices, by one request per ticker; tickers without a trade are left out.

    Raises PolygonApiError.
    """

    def request(ticker: str) -> Mapping[str, Any]:
        content = answer(
            rest.get_daily_open_close_agg(ticker, day, adjusted=False, raw=True).data,
            f"/v1/open-close/{ticker}/{day}",
        )
        if content.get("symbol") != ticker or content.get("from", str(day)) != str(day):
            raise PolygonNoAnswerError(
                f"/v1/open-close/{ticker}/{day}: the answer is not about {ticker} on {day}: "
                f"{str(content)[:200]}"
            )
        return content

    answers = [_with_retries(rest, partial(request, ticker)) for ticker in tickers]
    return [_open_close_record(content, day) for content in answers if content]


def _with_retries(rest: PolygonRest, request: Callable[[], T]) -> T | None:
    """The answer to `request`, repeated while unusable; None if the vendor has no data."""
    try:
        return rest.repeat_while_unusable(request)
    except PolygonNoDataError:
        return None


def _bars(content: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    """The bars of a grouped answer, each with its ticker."""
    results = bars(content, path)
    # Not printable: control characters, and halves of surrogate pairs, which no file can store.
    if not all(
        isinstance(bar.get("T"), str) and bar["T"] and bar["T"].isprintable() for bar in results
    ):
        raise PolygonNoAnswerError(f"{path}: a bar has no ticker")
    return results


def _grouped_record(bar: Mapping[str, Any], day: dt.date) -> Record:
    return {
        "ticker": bar["T"],
        "date": day.isoformat(),
        "window_start_ms": integer(bar.get("t")),
        "open": price(bar.get("o")),
        "high": price(bar.get("h")),
        "low": price(bar.get("l")),
        "close": price(bar.get("c")),
        "volume": decimal_text(bar.get("dv"), bar.get("v")),
        "vwap": price(bar.get("vw")),
        "transactions": integer(bar.get("n")),
        "otc": _flag(bar.get("otc", False)),
    }


def _open_close_record(content: Mapping[str, Any], day: dt.date) -> Record:
    numbers = {
        "open": price(content.get("open")),
        "high": price(content.get("high")),
        "low": price(content.get("low")),
        "close": price(content.get("close")),
        "volume": decimal_text(None, content.get("volume")),
        "pre_market": price(content.get("preMarket")),
        "after_hours": price(content.get("afterHours")),
    }
    sent = [content.get(name) for name in OPEN_CLOSE_NUMBERS]
    return {
        "ticker": content["symbol"],
        "date": day.isoformat(),
        **numbers,
        "otc": _flag(content.get("otc")),
        "invalid_values": list(numbers.values()).count(None) - sent.count(None),
    }


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
