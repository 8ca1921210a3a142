"""The paced REST client: retries where they help, a clear error where they do not."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.clients import polygon_answers
from polygon_assets.clients.polygon import ATTEMPTS, PolygonRest
from polygon_assets.clients.polygon_answers import (
    PolygonApiError,
    PolygonNoAnswerError,
    PolygonNoDataError,
)
from polygon_assets.clients.polygon_transport import TokenBucket
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.clients.scripted_server import Answer, ScriptedServer, serving


@pytest.fixture
def api() -> Iterator[ScriptedServer]:
    with serving() as server:
        yield server


def client(api: ScriptedServer, waits: list[float]) -> PolygonRest:
    settings = Settings(
        polygon_api_key=SecretStr("k"),
        polygon_rest_url=f"http://127.0.0.1:{api.server_port}",
        polygon_requests_per_minute=0,
    )
    return PolygonRest(settings, sleep=waits.append)


def page(*tickers: str, next_url: Any = None) -> Answer:
    body: dict[str, Any] = {"status": "OK", "results": [{"ticker": ticker} for ticker in tickers]}
    return 200, body | ({"next_url": next_url} if next_url else {})


def test_every_page_of_every_market_is_read(api: ScriptedServer) -> None:
    api.script = [
        page("AAPL", next_url="https://elsewhere/v3/reference/tickers?cursor=2"),
        page("MSFT", "AAPL"),
        page("OTCX"),
    ]
    rest = client(api, [])
    assert rest.active_tickers() == {"AAPL", "MSFT", "OTCX"}
    assert "cursor=2" in api.paths[1]


def test_after_too_many_requests_it_waits_as_long_as_the_vendor_asks(api: ScriptedServer) -> None:
    api.script = [
        (429, {"error": "slow down"}, {"Retry-After": "30"}),
        (503, b""),
        page("AAPL"),
        page(),
    ]
    waits: list[float] = []
    assert client(api, waits).active_tickers() == {"AAPL"}
    assert waits[0] >= 30
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("status", "cure"), [(401, "check POLYGON_API_KEY"), (403, "plan does not include")]
)
def test_a_permanent_refusal_ends_at_once_with_the_vendors_words_and_the_cure(
    api: ScriptedServer, status: int, cure: str
) -> None:
    api.script = [(status, {"error": "no"})]
    with pytest.raises(PolygonApiError, match=rf'HTTP {status}: {{"error": "no"}}; .*{cure}'):
        client(api, []).active_tickers()
    assert len(api.paths) == 1


NO_LISTS: list[Any] = [
    b"<html>maintenance</html>",
    b'{"status":"OK","results":[',
    {"status": "ERROR", "error": "busy"},
    {"status": "OK"},
    {"status": "OK", "count": 0, "results": None},
    {"status": "OK", "results": {"ticker": "AAPL"}},
    {"status": "OK", "results": "AAPL"},
    {"status": "OK", "results": ["AAPL"]},
    {"status": "OK", "results": [{"ticker": "AAPL"}, None]},
    {"status": "error", "results": [{"ticker": "AAPL"}]},
    {"status": "OK", "count": 5, "results": []},
    {"status": "OK", "count": 3, "results": [{"ticker": "AAPL"}]},
    {"status": "OK", "count": 1, "results": [{"ticker": "AAPL"}, {"ticker": "MSFT"}]},
    {"status": "OK", "count": "1", "results": [{"ticker": "AAPL"}]},
    {"status": "OK", "count": True, "results": [{"ticker": "AAPL"}]},
    {"status": "OK", "count": False, "results": []},
    {"status": "OK", "count": None, "results": []},
    {"status": "OK", "count": 0},
    [{"ticker": "AAPL"}],
    [],
    None,
]


@pytest.mark.parametrize("body", NO_LISTS, ids=str)
@pytest.mark.parametrize("page_number", [1, 2])
def test_an_answer_that_is_not_a_list_is_retried_and_then_an_error_on_every_page(
    api: ScriptedServer, body: object, page_number: int
) -> None:
    before = [page("AAPL", next_url="http://x/v3/reference/tickers?cursor=2")] * (page_number - 1)
    api.script = [*before, *[(200, body)] * ATTEMPTS]
    waits: list[float] = []
    with pytest.raises(PolygonNoAnswerError):
        client(api, waits).active_tickers()
    assert len(api.paths) == len(before) + ATTEMPTS
    assert len(waits) == ATTEMPTS - 1


@pytest.mark.parametrize("body", NO_LISTS, ids=str)
def test_a_list_that_comes_with_a_retry_is_used(api: ScriptedServer, body: object) -> None:
    api.script = [(200, body), page("AAPL", "MSFT"), page("OTCX")]
    assert client(api, []).active_tickers() == {"AAPL", "MSFT", "OTCX"}


@pytest.mark.parametrize("ticker", [None, "", 7, {}, ["AAPL"]], ids=str)
def test_an_entry_without_a_ticker_is_an_error(api: ScriptedServer, ticker: Any) -> None:
    api.script = [page("AAPL"), (200, {"status": "OK", "results": [{"ticker": ticker}]})]
    with pytest.raises(PolygonNoAnswerError, match="an entry has no ticker"):
        client(api, []).active_tickers()


def test_no_active_ticker_at_all_is_an_error(api: ScriptedServer) -> None:
    api.script = [page(), page()]
    with pytest.raises(PolygonNoAnswerError, match="lists no active ticker"):
        client(api, []).active_tickers()


SECOND = 1_795_000_000_000
DAY = dt.date(2026, 11, 20)
BAR = {"t": SECOND, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
Read = Callable[[PolygonRest], list[Any]]
READS: dict[str, Read] = {
    "seconds": lambda rest: rest.second_bars("AAPL", SECOND, SECOND + 60_000),
    "minutes": lambda rest: rest.minute_bars("AAPL", DAY),
}
BARS = {"status": "OK", "ticker": "AAPL", "adjusted": False, "resultsCount": 1, "results": [BAR]}
NO_BARS: list[Any] = [
    {"status": "OK", "results": None},
    {"status": "OK", "resultsCount": 0, "results": None},
    {"status": "ERROR"},
    {"status": "error", "resultsCount": 0},
    {},
    {"resultsCount": 390},
    {"resultsCount": 390, "results": []},
    {"resultsCount": 5, "results": [BAR]},
    {"resultsCount": 1, "results": [BAR, BAR]},
    {"resultsCount": "1", "results": [BAR]},
    {"resultsCount": 1.0, "results": [BAR]},
    {"resultsCount": True, "results": [BAR]},
    {"resultsCount": False},
    {"resultsCount": None},
    {"results": []},
    {"count": 0, "results": []},
    BARS | {"ticker": "MSFT"},
    BARS | {"ticker": None},
    {"resultsCount": 0, "ticker": "MSFT"},
    BARS | {"adjusted": True},
    BARS | {"adjusted": None},
]


@pytest.mark.parametrize("body", NO_BARS, ids=str)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_answer_that_does_not_prove_its_bars_is_retried_and_then_an_error(
    api: ScriptedServer, read: Read, body: Any
) -> None:
    api.script = [(200, body)] * ATTEMPTS
    with pytest.raises(PolygonNoAnswerError):
        read(client(api, []))
    assert api.script == []
    api.script = [(200, body), (200, BARS)]
    assert read(client(api, [])) == [BAR]


@pytest.mark.parametrize(
    "body",
    [
        {"status": "OK", "resultsCount": 0},
        {"status": "DELAYED", "ticker": "AAPL", "queryCount": 0, "resultsCount": 0, "count": 0},
        {"status": "OK", "ticker": "AAPL", "adjusted": True, "resultsCount": 0},
        {"resultsCount": 0, "results": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_count_of_zero_proves_that_there_are_no_bars(
    api: ScriptedServer, read: Read, body: Any
) -> None:
    api.script = [(200, body)]
    assert read(client(api, [])) == []


def test_bars_of_several_pages_are_counted_by_page(api: ScriptedServer) -> None:
    later = BAR | {"t": SECOND + 60_000}
    address = "https://elsewhere/v2/aggs/ticker/AAPL/range/1/minute/5/6?cursor=2"
    api.script = [(200, BARS | {"next_url": address}), (200, BARS | {"results": [later]})]
    assert client(api, []).minute_bars("AAPL", DAY) == [BAR, later]
    assert api.paths[0] == (
        f"/v2/aggs/ticker/AAPL/range/1/minute/{DAY}/{DAY}?adjusted=false&sort=asc&limit=50000"
    )


NOT_FOUND = {"status": "NOT_FOUND", "message": "Data not found."}


@pytest.mark.parametrize(
    ("status", "body", "is_denied"),
    [
        (404, NOT_FOUND, True),
        (403, {"status": "NOT_AUTHORIZED", "message": "today's data before end of day."}, True),
        (403, {"status": "ERROR", "error": "today's data before end of day."}, True),
        (404, b"<html>NOT_FOUND</html>", False),
        (404, b"404 page not found", False),
        (404, {"status": "ERROR", "error": "NOT_FOUND"}, False),
        (404, ["NOT_FOUND"], False),
        (403, b"<html>before end of day</html>", False),
    ],
    ids=str,
)
def test_only_the_vendors_own_words_deny_that_there_are_data(
    api: ScriptedServer, status: int, body: Any, is_denied: bool
) -> None:
    api.script = [(status, body)]
    with pytest.raises(PolygonApiError) as error:
        client(api, []).second_bars("AAPL", SECOND, SECOND + 1000)
    assert isinstance(error.value, PolygonNoDataError) is is_denied


@pytest.mark.parametrize(
    "cycle", [["?cursor=1"], ["?cursor=1", "?cursor=2"], ["?cursor=1", "?cursor=2", "?cursor=3"]]
)
def test_a_page_that_repeats_ends_the_read_and_is_named(
    api: ScriptedServer, cycle: list[str]
) -> None:
    urls = [f"https://elsewhere/v3/reference/tickers{query}" for query in cycle]
    api.script = [page(f"T{number}", next_url=urls[number % len(urls)]) for number in range(20)]
    with pytest.raises(
        PolygonApiError,
        match=r"read before, so the list has no end: /v3/reference/tickers\?cursor=1",
    ):
        client(api, []).active_tickers()
    assert len(api.paths) == len(cycle) + 1


def test_the_number_of_pages_is_bounded(
    api: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polygon_answers, "MOST_PAGES", 5)
    api.script = [
        page(f"T{n}", next_url=f"http://x/v3/reference/tickers?cursor={n}") for n in range(20)
    ]
    with pytest.raises(PolygonApiError, match="more than 5 pages"):
        client(api, []).active_tickers()
    assert len(api.paths) == 5


@pytest.mark.parametrize(
    "next_url", [7, {"url": "x"}, ["/a"], "no address", "http://x", "", [], False, 0]
)
def test_a_next_url_that_is_not_an_address_is_an_error(api: ScriptedServer, next_url: Any) -> None:
    api.script = [(200, {"status": "OK", "results": [{"ticker": "A"}], "next_url": next_url})]
    with pytest.raises(PolygonApiError, match="next_url is not an address"):
        client(api, []).active_tickers()


def test_pages_are_requested_from_the_configured_host_only(api: ScriptedServer) -> None:
    with serving() as stranger:
        address = f"http://127.0.0.1:{stranger.server_port}/v3/reference/tickers?cursor=2"
        api.script = [page("AAPL", next_url=address), page("MSFT"), page()]
        assert client(api, []).active_tickers() == {"AAPL", "MSFT"}
        assert stranger.calls == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_a_redirect_is_an_error_with_its_own_cure_and_the_key_goes_nowhere_else(
    api: ScriptedServer, status: int
) -> None:
    with serving() as stranger:
        api.script = [(status, b"", {"Location": f"http://127.0.0.1:{stranger.server_port}/login"})]
        with pytest.raises(
            PolygonApiError,
            match=rf"HTTP {status}: redirected to http://127.*/login; .*set POLYGON_REST_URL",
        ):
            client(api, []).active_tickers()
        assert stranger.calls == []


def test_upcoming_closures_are_a_bare_list(api: ScriptedServer) -> None:
    api.script = [(200, {"status": "OK"}), (200, [{"date": "2026-11-26"}])]
    assert client(api, []).upcoming_closures() == [{"date": "2026-11-26"}]
    api.script = [(200, None)] * ATTEMPTS
    with pytest.raises(PolygonNoAnswerError, match="not a list: None"):
        client(api, []).upcoming_closures()


def test_calls_are_spaced_evenly() -> None:
    waits: list[float] = []
    bucket = TokenBucket(5, clock=lambda: 0.0, sleep=waits.append)
    for _ in range(3):
        bucket.take()
    assert waits == [12.0, 24.0]
