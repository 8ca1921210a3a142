"""The paced REST client: retries where they help, a clear error where they do not."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.clients import polygon as module
from polygon_assets.clients.polygon import (
    ATTEMPTS,
    PolygonApiError,
    PolygonNoAnswerError,
    PolygonRest,
    TokenBucket,
)
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
    monkeypatch.setattr(module, "MOST_PAGES", 5)
    api.script = [
        page(f"T{n}", next_url=f"http://x/v3/reference/tickers?cursor={n}") for n in range(20)
    ]
    with pytest.raises(PolygonApiError, match="more than 5 pages"):
        client(api, []).active_tickers()
    assert len(api.paths) == 5


@pytest.mark.parametrize("next_url", [7, {"url": "x"}, ["/a"], "no address", "http://x"])
def test_a_next_url_that_is_not_an_address_is_an_error(api: ScriptedServer, next_url: Any) -> None:
    api.script = [page("AAPL", next_url=next_url)]
    with pytest.raises(PolygonApiError, match="next_url is not an address"):
        client(api, []).active_tickers()


def test_pages_are_requested_from_the_configured_host_only(api: ScriptedServer) -> None:
    with serving() as stranger:
        address = f"http://127.0.0.1:{stranger.server_port}/v3/reference/tickers?cursor=2"
        api.script = [page("AAPL", next_url=address), page("MSFT"), page()]
        assert client(api, []).active_tickers() == {"AAPL", "MSFT"}
        assert stranger.calls == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
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
