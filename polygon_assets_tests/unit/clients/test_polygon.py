"""The paced REST client: patience where it helps, a clear word where it does not."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.clients.polygon import PolygonApiError, PolygonRest, TokenBucket
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.clients.scripted_server import Answer, ScriptedServer, serving


@pytest.fixture
def api() -> Iterator[ScriptedServer]:
    with serving() as server:
        yield server


def client(api: ScriptedServer, waits: list[float]) -> PolygonRest:
    settings = Settings(
        polygon_api_key=SecretStr("k"), polygon_rest_url=f"http://127.0.0.1:{api.server_port}", polygon_requests_per_minute=0
    )
    return PolygonRest(settings, sleep=waits.append)


def page(*tickers: str, next_url: str | None = None) -> Answer:
    body: dict[str, Any] = {"status": "OK", "results": [{"ticker": ticker} for ticker in tickers]}
    return 200, body | ({"next_url": next_url} if next_url else {})


def test_every_page_of_every_market_is_read(api: ScriptedServer) -> None:
    api.script = [page("AAPL", next_url="https://elsewhere/v3/reference/tickers?cursor=2"), page("MSFT", "AAPL"), page("OTCX")]
    rest = client(api, [])
    assert rest.active_tickers() == {"AAPL", "MSFT", "OTCX"}
    assert "cursor=2" in api.paths[1]


def test_too_many_requests_waits_as_long_as_asked(api: ScriptedServer) -> None:
    api.script = [(429, {"error": "slow down"}, {"Retry-After": "30"}), (503, b""), page("AAPL"), page()]
    waits: list[float] = []
    assert client(api, waits).active_tickers() == {"AAPL"}
    assert waits[0] >= 30
    assert len(waits) == 2


@pytest.mark.parametrize(("status", "cure"), [(401, "check POLYGON_API_KEY"), (403, "plan does not include")])
def test_a_refusal_for_good_ends_at_once_with_the_vendors_words_and_the_cure(api: ScriptedServer, status: int, cure: str) -> None:
    api.script = [(status, {"error": "no"})]
    with pytest.raises(PolygonApiError, match=rf'HTTP {status}: {{"error": "no"}}; .*{cure}'):
        client(api, []).active_tickers()
    assert len(api.paths) == 1


@pytest.mark.parametrize(
    ("body", "said"), [(b"<html>maintenance</html>", "unreadable answer"), ({"status": "ERROR", "error": "busy"}, "with an error .*busy")]
)
def test_an_answer_that_is_none_is_an_error_not_an_empty_list(api: ScriptedServer, body: object, said: str) -> None:
    api.script = [(200, body)]
    with pytest.raises(PolygonApiError, match=said):
        client(api, []).active_tickers()


def test_calls_are_spaced_evenly() -> None:
    waits: list[float] = []
    bucket = TokenBucket(5, clock=lambda: 0.0, sleep=waits.append)
    for _ in range(3):
        bucket.take()
    assert waits == [12.0, 24.0]
