"""One request to the vendor's REST API: paced, with time-outs and retries, and errors with a cure.

Add a refusal and its cure here; which requests there are belongs to `polygon`, whether an answer
with HTTP 200 is one to `polygon_answers`.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import urllib3
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_before_delay,
    wait_exponential_jitter,
)

from polygon_assets.clients.polygon_answers import (
    PolygonApiError,
    PolygonKeyError,
    PolygonNoDataError,
    PolygonNotEntitledError,
    PolygonUnavailableError,
)

TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
REDIRECT_CURE = (
    "the API, or a proxy before it, redirects to another address, to which the key is not sent: "
    "set POLYGON_REST_URL to the right address"
)
CURES = {
    **dict.fromkeys(range(300, 400), REDIRECT_CURE),
    401: "check POLYGON_API_KEY: the vendor rejects this key",
    403: "the account's plan does not include this data; see the vendor's pricing page",
}


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


def _refusal(
    url: str, answer: urllib3.BaseHTTPResponse, conceal: Callable[[str], str]
) -> PolygonApiError:
    detail = conceal(answer.data.decode(errors="replace"))[:300] or str(answer.reason)
    if 300 <= answer.status < 400:
        detail = f"redirected to {answer.headers.get('Location', 'nowhere')}"
    cure = CURES.get(answer.status)
    message = f"{url.partition('?')[0]}: HTTP {answer.status}: {detail}"
    if cure:
        message += f"; {cure}"
    if answer.status == 429 or answer.status >= 500:
        seconds = answer.headers.get("Retry-After", "")
        return PolygonUnavailableError(message, float(seconds) if seconds.isdecimal() else 0.0)
    if _has_no_data(answer):
        return PolygonNoDataError(message)
    kinds = {401: PolygonKeyError, 403: PolygonNotEntitledError}
    return kinds.get(answer.status, PolygonApiError)(message)


def _has_no_data(answer: urllib3.BaseHTTPResponse) -> bool:
    """Whether the vendor itself, and no proxy before it, denies that there are data.

    404 with the status NOT_FOUND: no such bar. 403 with "before end of day": the free plan serves a
    day from the following midnight in New York on.
    """
    try:
        content = json.loads(answer.data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    text = str(content.get("message") or content.get("error"))
    return content.get("status") == "NOT_FOUND" or "before end of day" in text


def _retry_pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: the server's Retry-After, or the back-off if longer."""
    error = state.outcome.exception() if state.outcome else None
    requested = error.retry_after_seconds if isinstance(error, PolygonUnavailableError) else 0.0
    return max(requested, wait_exponential_jitter(initial=1, max=20)(state))
