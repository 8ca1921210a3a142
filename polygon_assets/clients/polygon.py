"""The vendor's REST API (Polygon, now Massive): its own client, paced by our token bucket and with errors that say what happened.

The vendor's client retries three times within a second (useless at 5 requests a minute), passes on no time-out, hides the
HTTP status and turns an unreadable answer into an empty list. This module corrects that at the one place all its calls go through.
"""

import time
from collections.abc import Callable
from typing import Any

import urllib3
from polygon import RESTClient
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential_jitter

from polygon_assets.settings import Settings

TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
PATIENCE_SECONDS = 180
PAGE_SIZE = 1000

CURES = {
    401: "check POLYGON_API_KEY: the vendor does not know this key",
    403: "the account's plan does not include this data; see the vendor's pricing page",
}


class PolygonApiError(Exception):
    """The API refused for good; the message names the path, the status and the cure where there is one."""


class PolygonNoDataError(PolygonApiError):
    """There is nothing to what was asked: no such ticker on that day, or a day that the account's plan gives only when it is over."""


class PolygonUnavailableError(PolygonApiError):
    """A refusal that may pass: too many requests, a server error, no connection."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TokenBucket:
    """At most `per_minute` calls a minute, evenly spaced; 0 is unlimited."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._spacing = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def take(self) -> None:
        """Wait for this call's turn."""
        now = self._clock()
        wait = self._next - now
        self._next = max(self._next, now) + self._spacing
        if wait > 0:
            self._sleep(wait)


class PacedPool:
    """Stands where the vendor's client keeps its connection pool: paces, times out, retries, and raises by status."""

    def __init__(self, pool: urllib3.PoolManager, bucket: TokenBucket, patience_seconds: float, sleep: Callable[[float], None]) -> None:
        self._pool = pool
        self._bucket = bucket
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Answer 200, or a PolygonApiError; what may pass is tried again for `patience_seconds`."""
        patiently = Retrying(
            retry=retry_if_exception_type(PolygonUnavailableError),
            wait=_as_asked_or_longer,
            stop=stop_before_delay(self._patience_seconds),
            sleep=self._sleep,
            reraise=True,
        )
        return patiently(self._request_once, method, url, **options)

    def _request_once(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        self._bucket.take()
        try:
            answer = self._pool.request(method, url, timeout=TIMEOUT, retries=False, **options)
        except urllib3.exceptions.HTTPError as error:
            raise PolygonUnavailableError(f"{url}: no answer: {error}") from error
        if answer.status != 200:
            raise _refusal(url, answer)
        return answer


class PolygonRest(RESTClient):  # type: ignore[misc]  # the vendor ships no types
    """The vendor's client with every call paced and retried. Its methods raise PolygonApiError."""

    def __init__(self, settings: Settings, patience_seconds: float = PATIENCE_SECONDS, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(settings.polygon_api_key.get_secret_value(), base=settings.polygon_rest_url, retries=0)
        bucket = TokenBucket(settings.polygon_requests_per_minute, sleep=sleep)
        self.client: Any = PacedPool(self.client, bucket, patience_seconds, sleep)

    def active_tickers(self) -> set[str]:
        """Every ticker the reference data lists as active, OTC included."""
        return {ticker.ticker for market in ("stocks", "otc") for ticker in self.list_tickers(market=market, active=True, limit=PAGE_SIZE)}

    def _decode(self, resp: urllib3.BaseHTTPResponse) -> Any:
        try:
            content = super()._decode(resp)
        except ValueError as error:
            raise PolygonApiError(f"unreadable answer: {error}: {resp.data[:200]!r}") from error
        # The client would take it for the end of the list.
        if isinstance(content, dict) and content.get("status") == "ERROR":
            raise PolygonApiError(f"HTTP 200 with an error for an answer: {resp.data[:200]!r}")
        return content


def _refusal(url: str, answer: urllib3.BaseHTTPResponse) -> PolygonApiError:
    said = answer.data[:300].decode(errors="replace") or str(answer.reason)
    cure = CURES.get(answer.status)
    message = f"{url.partition('?')[0]}: HTTP {answer.status}: {said}" + (f"; {cure}" if cure else "")
    if answer.status == 429 or answer.status >= 500:
        asked = answer.headers.get("Retry-After", "")
        return PolygonUnavailableError(message, float(asked) if asked.isdecimal() else 0.0)
    # 404 with the first words: no such bar (an unknown address says otherwise); 403 with the others: the free plan gives
    # a day from the following midnight in New York on.
    if "NOT_FOUND" in said or "before end of day" in said:
        return PolygonNoDataError(message)
    return PolygonApiError(message)


def _as_asked_or_longer(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, PolygonUnavailableError) else 0.0
    return max(asked, wait_exponential_jitter(initial=1, max=20)(state))
