"""The vendor's REST API (Polygon, now Massive): the vendor's client, paced and with retries.

The vendor's client retries three times within a second (useless at 5 requests a minute), sets no
time-out, hides the HTTP status and turns an unreadable answer into an empty list; this module
corrects that at the one method through which all calls go. Add an endpoint here when more than one
module calls it; what a table reads from an answer belongs to `batch.raw.daily_records`.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from polygon import RESTClient
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
PATIENCE_SECONDS = 180
PAGE_SIZE = 1000
MOST_BASE_BARS = 50_000
"""The vendor's most seconds in one page of aggregates; a session of 16 hours has 57,600."""
MOST_PAGES = 1_000
"""Room for a million tickers; there are about 30,000, delisted ones included."""
ATTEMPTS = 4
"""Requests in all when answers are unusable: the vendor sometimes sends null instead of results."""
REDIRECTS = (301, 302, 303, 307, 308)
REDIRECT_CURE = (
    "the API, or a proxy before it, redirects to another address, to which the key is not sent: "
    "set POLYGON_REST_URL to the right address"
)
T = TypeVar("T")

CURES = {
    **dict.fromkeys(REDIRECTS, REDIRECT_CURE),
    401: "check POLYGON_API_KEY: the vendor rejects this key",
    403: "the account's plan does not include this data; see the vendor's pricing page",
}


class PolygonApiError(PolygonAssetsError):
    """The API refused a request for good; the message names the path, the status and the cure."""


class PolygonNoDataError(PolygonApiError):
    """The vendor has no data: no such ticker on that day, or a day that is not over yet.

    The account's plan decides whether a day can be read before it is over.
    """


class PolygonNotEntitledError(PolygonApiError):
    """The account's plan does not include these data."""


class PolygonNoAnswerError(PolygonApiError):
    """HTTP 200 with null, malformed or missing results; no proof that there is no data."""


class PolygonUnavailableError(PolygonApiError):
    """A temporary refusal: too many requests, a server error, no connection."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TokenBucket:
    """Allows `per_minute` calls a minute, evenly spaced; 0 is unlimited. Threads may share it."""

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._spacing = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = clock()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait until the next call is allowed."""
        with self._lock:
            now = self._clock()
            wait = self._next - now
            self._next = max(self._next, now) + self._spacing
        if wait > 0:
            self._sleep(wait)


class PacedPool:
    """Replaces the vendor client's connection pool: paces, times out, retries and raises errors."""

    def __init__(
        self,
        pool: urllib3.PoolManager,
        bucket: TokenBucket,
        patience_seconds: float,
        sleep: Callable[[float], None],
        conceal: Callable[[str], str],
    ) -> None:
        """`conceal` takes the key out of what the vendor answers."""
        self._conceal = conceal
        self._pool = pool
        self._bucket = bucket
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Return an answer with HTTP 200; a temporary refusal is retried for `patience_seconds`.

        Raises PolygonApiError.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(PolygonUnavailableError),
            wait=_retry_pause,
            stop=stop_before_delay(self._patience_seconds),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._request_once, method, url, **options)

    def _request_once(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        self._bucket.take()
        try:
            answer = self._pool.request(method, url, timeout=TIMEOUT, retries=False, **options)
        except urllib3.exceptions.HTTPError as error:
            raise PolygonUnavailableError(f"{url}: no answer: {error}") from error
        if answer.status != 200:
            raise _refusal(url, answer, self._conceal)
        return answer


class PolygonRest(RESTClient):  # type: ignore[misc]  # the vendor ships no types
    """The vendor's client with paced and retried calls. Its methods raise PolygonApiError."""

    def __init__(
        self,
        settings: Settings,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        requests_per_minute: int | None = None,
        concurrency: int = 1,
    ) -> None:
        """`requests_per_minute` replaces POLYGON_REQUESTS_PER_MINUTE; 0 is unlimited.

        `concurrency` is the number of threads that share the client.
        """
        super().__init__(
            settings.polygon_api_key.get_secret_value(), base=settings.polygon_rest_url, retries=0
        )
        self._sleep = sleep
        # Further connections would be opened for one request each.
        self.client.connection_pool_kw["maxsize"] = concurrency
        if settings.ca_bundle:
            self.client.connection_pool_kw["ca_certs"] = settings.ca_bundle
        if requests_per_minute is None:
            requests_per_minute = settings.polygon_requests_per_minute
        bucket = TokenBucket(requests_per_minute, sleep=sleep)
        self.client: Any = PacedPool(self.client, bucket, patience_seconds, sleep, settings.conceal)

    def active_tickers(self) -> set[str]:
        """Every ticker that the reference data lists as active, OTC included."""
        tickers = {
            ticker.ticker
            for market in ("stocks", "otc")
            for ticker in self.list_tickers(market=market, active=True, limit=PAGE_SIZE)
        }
        if None in tickers:
            raise PolygonNoAnswerError(
                "/v3/reference/tickers: an entry has no ticker, so the list may be incomplete"
            )
        return tickers

    def second_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Mapping[str, Any]]:
        """The unadjusted bars of the seconds from `since_ms` on, oldest first.

        Times are Unix milliseconds, `until_ms` excluded. An empty list is proved: without trades
        the vendor leaves out `results` and sends a count of 0. Raises PolygonApiError.
        """
        path = f"/v2/aggs/ticker/{symbol}/range/1/second/{since_ms}/{until_ms - 1}"
        params = {"adjusted": "false", "sort": "asc", "limit": MOST_BASE_BARS}
        bars: Iterator[Mapping[str, Any]] = self._paginate_iter(path, params, lambda bar: bar)
        return list(bars)

    def upcoming_closures(self) -> list[Any]:
        """The entries of /v1/marketstatus/upcoming, unchanged."""

        def request() -> list[Any]:
            content = _json(self.get_market_holidays(raw=True).data)
            if not isinstance(content, list):
                raise PolygonNoAnswerError(
                    f"/v1/marketstatus/upcoming: the answer is not a list: {str(content)[:200]}"
                )
            return content

        return self.repeat_while_unusable(request)

    def repeat_while_unusable(self, request: Callable[[], T]) -> T:
        """The result of `request`, which is called up to ATTEMPTS times, with pauses.

        Raises PolygonNoAnswerError when the last answer is unusable too, other errors at once.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(PolygonNoAnswerError),
            wait=wait_exponential_jitter(initial=1, max=20),
            stop=stop_after_attempt(ATTEMPTS),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(request)

    def _paginate_iter(
        self,
        path: str,
        params: dict[str, Any],
        deserializer: Callable[[Any], T],
        result_key: str = "results",
        options: Any = None,
    ) -> Iterator[T]:
        """Yield the entries of every page of a list.

        Overrides the vendor's method, which takes a page without results for the end of the list.
        """
        seen: set[str] = set()
        next_path: str | None = path
        while next_path is not None:
            page = self.repeat_while_unusable(
                partial(self._page, next_path, {} if seen else params, result_key, options)
            )
            yield from map(deserializer, page[result_key])
            seen.add(next_path)
            next_path = _next_path(page, path, seen)

    def _page(
        self, path: str, params: dict[str, Any], result_key: str, options: Any
    ) -> Mapping[str, Any]:
        content = answer(self._get(path=path, params=params, raw=True, options=options).data, path)
        if result_key not in content and content.get("resultsCount") == 0:
            return {**content, result_key: []}
        rows(content, path, result_key)
        return content

    def _decode(self, resp: urllib3.BaseHTTPResponse) -> Any:
        return answer(resp.data, "")


def answer(data: bytes, path: str) -> Mapping[str, Any]:
    """An answer as a JSON object.

    Raises PolygonNoAnswerError for anything else, and for an error sent with HTTP 200.
    """
    content = _json(data)
    if not isinstance(content, dict):
        raise PolygonNoAnswerError(
            f"{path.partition('?')[0]}: the answer is not a JSON object: {data[:200]!r}"
        )
    if content.get("status") == "ERROR":
        raise PolygonNoAnswerError(
            f"{path.partition('?')[0]}: HTTP 200 with status ERROR: {data[:200]!r}"
        )
    return content


def rows(
    content: Mapping[str, Any], path: str, result_key: str = "results"
) -> list[Mapping[str, Any]]:
    """The results of an answer, which must be a list of objects. Raises PolygonNoAnswerError."""
    results = content.get(result_key)
    if not isinstance(results, list) or not all(isinstance(row, dict) for row in results):
        shown = str(results)[:200] if result_key in content else "none"
        raise PolygonNoAnswerError(
            f"{path.partition('?')[0]}: HTTP 200 without a list of {result_key}: {shown}"
        )
    return results


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PolygonNoAnswerError(f"unreadable answer: {error}: {data[:200]!r}") from error


def _next_path(page: Mapping[str, Any], path: str, seen: set[str]) -> str | None:
    """Path and query of the next page; None after the last page.

    The host of `next_url` is dropped: every page is read from the configured address. Raises
    PolygonApiError for a page that was read before, and for more than MOST_PAGES.
    """
    next_url = page.get("next_url")
    if not next_url:
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


def _refusal(
    url: str, answer: urllib3.BaseHTTPResponse, conceal: Callable[[str], str]
) -> PolygonApiError:
    detail = conceal(answer.data.decode(errors="replace"))[:300] or str(answer.reason)
    if answer.status in REDIRECTS:
        detail = f"redirected to {answer.headers.get('Location', 'nowhere')}"
    cure = CURES.get(answer.status)
    message = f"{url.partition('?')[0]}: HTTP {answer.status}: {detail}"
    if cure:
        message += f"; {cure}"
    if answer.status == 429 or answer.status >= 500:
        seconds = answer.headers.get("Retry-After", "")
        return PolygonUnavailableError(message, float(seconds) if seconds.isdecimal() else 0.0)
    # 404 with NOT_FOUND: no such bar (an unknown address has another text). 403 with "before end of
    # day": the free plan serves a day from the following midnight in New York on.
    if "NOT_FOUND" in detail or "before end of day" in detail:
        return PolygonNoDataError(message)
    return PolygonNotEntitledError(message) if answer.status == 403 else PolygonApiError(message)


def _retry_pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: the server's Retry-After, or the back-off if longer."""
    error = state.outcome.exception() if state.outcome else None
    requested = error.retry_after_seconds if isinstance(error, PolygonUnavailableError) else 0.0
    return max(requested, wait_exponential_jitter(initial=1, max=20)(state))
