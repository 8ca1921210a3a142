"""What an answer of the vendor's REST API proves: pure rules, and the errors of every request.

Add a rule that every reader of an answer needs here; requests belong to `polygon`, what a table
reads from an answer to `batch.raw.daily_records`. The manifest of the connector has the same rules.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from polygon_assets.errors import PolygonAssetsError

AGGREGATES = "/v2/aggs/"
"""The path of all answers with bars."""
MOST_PAGES = 1_000
"""Room for a million tickers; there are about 30,000, delisted ones included."""


class PolygonApiError(PolygonAssetsError):
    """The API refused a request for good; the message names the path, the status and the cure."""


class PolygonNoDataError(PolygonApiError):
    """The vendor has no data: no such ticker on that day, or a day that is not over yet.

    The account's plan decides whether a day can be read before it is over.
    """


class PolygonNotEntitledError(PolygonApiError):
    """The account's plan does not include these data."""


class PolygonKeyError(PolygonApiError):
    """The vendor rejects the key."""


class PolygonNoAnswerError(PolygonApiError):
    """HTTP 200 with null, malformed or missing results; no proof that there is no data."""


class PolygonUnavailableError(PolygonApiError):
    """A temporary refusal: too many requests, a server error, no connection."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def answer(data: bytes, path: str) -> Mapping[str, Any]:
    """An answer as a JSON object.

    Raises PolygonNoAnswerError for anything else, and for an error sent with HTTP 200.
    """
    content = read_json(data)
    if not isinstance(content, dict):
        raise PolygonNoAnswerError(
            f"{path.partition('?')[0]}: the answer is not a JSON object: {data[:200]!r}"
        )
    if str(content.get("status")).upper() == "ERROR":
        raise PolygonNoAnswerError(
            f"{path.partition('?')[0]}: HTTP 200 with status ERROR: {data[:200]!r}"
        )
    return content


def rows(
    content: Mapping[str, Any], path: str, result_key: str = "results"
) -> list[Mapping[str, Any]]:
    """The results of an answer: a list of objects, as many as the answer counts.

    The vendor counts the results of this answer, in a long list those of the page: aggregates in
    `resultsCount`, reference lists in `count`. Aggregates without results lack the list and count
    0; only the count proves that there are none. Reference lists omit a count of 0, and some have
    none at all. Raises PolygonNoAnswerError. The manifest has the same rules.
    """
    is_aggregates = path.startswith(AGGREGATES)
    where = path.partition("?")[0]
    results = content.get(result_key, [] if is_aggregates else None)
    if not isinstance(results, list) or not all(isinstance(row, dict) for row in results):
        shown = str(results)[:200] if result_key in content else "none"
        raise PolygonNoAnswerError(f"{where}: HTTP 200 without a list of {result_key}: {shown}")
    name = "resultsCount" if is_aggregates else "count"
    count = content.get(name, None if is_aggregates and not results else len(results))
    if type(count) is not int or count != len(results):
        raise PolygonNoAnswerError(
            f"{where}: {len(results)} {result_key}, but {name} is {str(count)[:200]}"
        )
    return results


def bars(content: Mapping[str, Any], path: str, symbol: str = "") -> list[Mapping[str, Any]]:
    """The unadjusted bars of an answer, `symbol`'s if named; otherwise as `rows`."""
    results = rows(content, path)
    where = path.partition("?")[0]
    if symbol and content.get("ticker", symbol) != symbol:
        raise PolygonNoAnswerError(
            f"{where}: the answer is about {str(content['ticker'])[:200]}, not about {symbol}"
        )
    if results and content.get("adjusted", False) is not False:
        raise PolygonNoAnswerError(f"{where}: the bars are adjusted, unadjusted ones are due")
    return results


def read_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PolygonNoAnswerError(f"unreadable answer: {error}: {data[:200]!r}") from error


def next_path(page: Mapping[str, Any], path: str, seen: set[str]) -> str | None:
    """Path and query of the next page; None after the last page.

    The host of `next_url` is dropped: every page is read from the configured address. Raises
    PolygonApiError for a page that was read before, and for more than MOST_PAGES.
    """
    next_url = page.get("next_url")
    if next_url is None:
        return None
    following = _path_and_query(next_url)
    if not following.startswith("/"):
        raise PolygonApiError(f"{path}: next_url is not an address: {str(next_url)[:200]!r}")
    if following in seen:
        raise PolygonApiError(
            f"{path}: page {len(seen) + 1} was read before, so the list has no end: {following}"
        )
    if len(seen) >= MOST_PAGES:
        raise PolygonApiError(
            f"{path}: more than {MOST_PAGES:,} pages, the next one is {following}"
        )
    return following


def _path_and_query(address: object) -> str:
    """Path and query of an address; empty for anything else."""
    if not isinstance(address, str) or not address.isascii() or not address.isprintable():
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")
