"""The vendor's REST API (Polygon, now Massive): the vendor's client, paced and with retries.

The vendor's client retries three times within a second (useless at 5 requests a minute), sets no
time-out, hides the HTTP status and turns an unreadable answer into an empty list; `PacedPool`
corrects that at the one method through which all calls go. Add an endpoint here when more than one
module calls it; what an answer proves belongs to `polygon_answers`.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from polygon import RESTClient
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from polygon_assets.clients.polygon_answers import (
    AGGREGATES,
    PolygonNoAnswerError,
    answer,
    bars,
    next_path,
    read_json,
    rows,
)
from polygon_assets.clients.polygon_transport import PacedPool, TokenBucket
from polygon_assets.settings import Settings

PATIENCE_SECONDS = 180
PAGE_SIZE = 1000
MOST_BASE_BARS = 50_000
"""The vendor's most seconds in one page of aggregates; a session of 16 hours has 57,600."""
ATTEMPTS = 4
"""Requests in all when answers are unusable: the vendor sometimes sends null instead of results."""
T = TypeVar("T")
Reader = Callable[[Mapping[str, Any], str], list[Mapping[str, Any]]]
"""Finds the entries of an answer, given its path; raises PolygonNoAnswerError."""


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
        """Every ticker that the reference data lists as active, OTC included; never empty.

        Raises PolygonApiError.
        """
        tickers = [
            ticker.ticker
            for market in ("stocks", "otc")
            for ticker in self.list_tickers(market=market, active=True, limit=PAGE_SIZE)
        ]
        if not all(isinstance(ticker, str) and ticker for ticker in tickers):
            raise PolygonNoAnswerError(
                "/v3/reference/tickers: an entry has no ticker, so the list may be incomplete"
            )
        if not tickers:
            # Every line of a subscription CSV would count as unknown.
            raise PolygonNoAnswerError(
                f"/v3/reference/tickers: {self.BASE} lists no active ticker; check POLYGON_REST_URL"
            )
        return set(tickers)

    def second_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Mapping[str, Any]]:
        """The unadjusted bars of the seconds from `since_ms` on, oldest first.

        Times are Unix milliseconds, `until_ms` excluded. An empty list is proved, see `rows`.
        Raises PolygonApiError.
        """
        return self._bars_of(symbol, "second", since_ms, until_ms - 1)

    def minute_bars(self, symbol: str, day: dt.date) -> list[Mapping[str, Any]]:
        """The unadjusted bars of a day's minutes, as `second_bars`."""
        return self._bars_of(symbol, "minute", day, day)

    def _bars_of(
        self, symbol: str, timespan: str, first: object, last: object
    ) -> list[Mapping[str, Any]]:
        path = f"{AGGREGATES}ticker/{symbol}/range/1/{timespan}/{first}/{last}"
        params = {"adjusted": "false", "sort": "asc", "limit": MOST_BASE_BARS}

        def read(content: Mapping[str, Any], page: str) -> list[Mapping[str, Any]]:
            return bars(content, page, symbol)

        return [bar for page in self._pages(path, params, read) for bar in page]

    def upcoming_closures(self) -> list[Any]:
        """The entries of /v1/marketstatus/upcoming, unchanged."""

        def request() -> list[Any]:
            content = read_json(self.get_market_holidays(raw=True).data)
            if not isinstance(content, list):
                raise PolygonNoAnswerError(
                    f"/v1/marketstatus/upcoming: the answer is not a list: {str(content)[:200]}"
                )
            return content

        return self.repeat_while_unusable(request)

    def ask(self, path: str, params: dict[str, str]) -> None:
        """One request whose data do not matter: whether the vendor answers it.

        Raises PolygonApiError.
        """
        data = self._get(path=path, params=params, raw=True).data
        if not isinstance(read_json(data), list):
            answer(data, path)

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

        def read(content: Mapping[str, Any], page: str) -> list[Mapping[str, Any]]:
            return rows(content, page, result_key)

        for page in self._pages(path, params, read, options):
            yield from map(deserializer, page)

    def _pages(
        self, path: str, params: dict[str, Any], read: Reader, options: Any = None
    ) -> Iterator[list[Mapping[str, Any]]]:
        """The entries of each page, as `read` finds them; an unusable page is requested again."""
        seen: set[str] = set()
        following: str | None = path
        while following is not None:
            content, page = self.repeat_while_unusable(
                partial(self._page, following, {} if seen else params, read, options)
            )
            yield page
            seen.add(following)
            following = next_path(content, path, seen)

    def _page(
        self, path: str, params: dict[str, Any], read: Reader, options: Any
    ) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        content = answer(self._get(path=path, params=params, raw=True, options=options).data, path)
        return content, read(content, path)

    def _decode(self, resp: urllib3.BaseHTTPResponse) -> Any:
        return answer(resp.data, urlsplit(resp.geturl() or "").path)
