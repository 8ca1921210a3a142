"""Daily bars of any day by REST, in the shape of the connector's records, for days that Airbyte cannot be asked for.

Fetching only: `table_writer` writes what is given here into the table that Airbyte loads. The same day has the same values either way.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from polygon_assets.batch.raw.numbers import decimal_text, integer, number
from polygon_assets.clients.polygon import (
    PolygonNoAnswerError,
    PolygonNoDataError,
    PolygonRest,
    answer,
    rows,
)

Record = dict[str, Any]
PATH = "/v2/aggs/grouped/locale/us/market/stocks/{}"
T = TypeVar("T")


def grouped_daily(rest: PolygonRest, day: dt.date) -> list[Record]:
    """The day's bar of every ticker, OTC included, unadjusted; none if the market was closed. Raises PolygonApiError."""

    def ask() -> list[Mapping[str, Any]]:
        data = rest.get_grouped_daily_aggs(day, adjusted=False, raw=True, include_otc=True).data
        return _bars(answer(data, PATH.format(day)), PATH.format(day))

    return [_grouped(bar, day) for bar in _unless_none(rest, ask) or ()]


def daily_open_close(rest: PolygonRest, day: dt.date, tickers: Iterable[str]) -> list[Record]:
    """The day's official prices of each ticker, one request each; those that did not trade are left out. Raises PolygonApiError."""

    def ask(ticker: str) -> Mapping[str, Any]:
        content = answer(
            rest.get_daily_open_close_agg(ticker, day, adjusted=False, raw=True).data,
            f"/v1/open-close/{ticker}/{day}",
        )
        if content.get("symbol") != ticker:
            raise PolygonNoAnswerError(
                f"/v1/open-close/{ticker}/{day}: the answer is not about {ticker}: {str(content)[:200]}"
            )
        return content

    answers = [_unless_none(rest, partial(ask, ticker)) for ticker in tickers]
    return [_open_close(found, day) for found in answers if found]


def _unless_none(rest: PolygonRest, ask: Callable[[], T]) -> T | None:
    """What `ask` returns, asked again where it is no answer; None where the vendor says that there is nothing."""
    try:
        return rest.asked_again(ask)
    except PolygonNoDataError:
        return None


def _bars(content: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    """The bars of a grouped answer, each with its ticker.

    On a closed day the vendor leaves `results` out and counts 0: both together prove that there is
    nothing. Null results, or fewer than are counted, are no answer.
    """
    if "results" not in content and content.get("resultsCount") == 0:
        return []
    bars = rows(content, path)
    if not all(isinstance(bar.get("T"), str) and bar["T"] for bar in bars):
        raise PolygonNoAnswerError(f"{path}: a bar has no ticker")
    if isinstance(counted := content.get("resultsCount"), int) and counted > len(bars):
        raise PolygonNoAnswerError(f"{path}: {len(bars)} of {counted} bars")
    return bars


def _grouped(bar: Mapping[str, Any], day: dt.date) -> Record:
    return {
        "ticker": bar["T"],
        "date": day.isoformat(),
        "window_start_ms": integer(bar.get("t")),
        "open": number(bar.get("o")),
        "high": number(bar.get("h")),
        "low": number(bar.get("l")),
        "close": number(bar.get("c")),
        "volume": decimal_text(bar.get("dv"), bar.get("v")),
        "vwap": number(bar.get("vw")),
        "transactions": integer(bar.get("n")),
        "otc": _flag(bar.get("otc", False)),
    }


def _open_close(found: Mapping[str, Any], day: dt.date) -> Record:
    return {
        "ticker": found["symbol"],
        "date": day.isoformat(),
        "open": number(found.get("open")),
        "high": number(found.get("high")),
        "low": number(found.get("low")),
        "close": number(found.get("close")),
        "volume": decimal_text(None, found.get("volume")),
        "pre_market": number(found.get("preMarket")),
        "after_hours": number(found.get("afterHours")),
        "otc": _flag(found.get("otc")),
    }


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
