"""Conformance: the vendor's own unmodified Python clients work with the simulated exchange."""

import asyncio
from collections.abc import Iterator
from itertools import islice

import pytest
from polygon import RESTClient, WebSocketClient
from polygon.exceptions import AuthError
from polygon.websocket.models import EquityAgg, WebSocketMessage

from polygon_assets_tests.unit.local.exchange.harness import (
    FAST,
    KEY,
    RunningExchange,
    running_exchange,
)


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with running_exchange(*FAST) as running:
        yield running


@pytest.fixture(scope="module")
def rest(exchange: RunningExchange) -> RESTClient:
    return RESTClient(KEY, base=f"http://{exchange.address}")


def received(
    exchange: RunningExchange, *channels: str, path: str = "", seconds: float = 1.0
) -> list[WebSocketMessage]:
    collected: list[WebSocketMessage] = []
    client = WebSocketClient(
        KEY,
        feed=f"{exchange.address}{path}",
        market="stocks",
        secure=False,
        subscriptions=list(channels),
    )

    async def collect(messages: list[WebSocketMessage]) -> None:
        collected.extend(messages)

    async def run() -> None:
        task = asyncio.create_task(client.connect(collect))
        await asyncio.sleep(seconds)
        await client.close()
        await task

    asyncio.run(run())
    return collected


def test_the_websocket_client_receives_models(exchange: RunningExchange) -> None:
    messages = received(exchange, "A.*")
    assert len(messages) > 100
    assert all(isinstance(message, EquityAgg) and message.event_type == "A" for message in messages)
    first = messages[0]
    assert isinstance(first, EquityAgg)
    assert first.end_timestamp - first.start_timestamp == 1000
    assert first.low <= first.vwap <= first.high


def test_the_websocket_client_receives_its_subscriptions(exchange: RunningExchange) -> None:
    symbols = {
        message.symbol
        for message in received(exchange, "A.AAPL", "A.BRK.B")
        if isinstance(message, EquityAgg)
    }
    assert symbols == {"AAPL", "BRK.B"}


def test_the_websocket_client_reads_the_delayed_feed(exchange: RunningExchange) -> None:
    assert received(exchange, "A.*", path="/delayed")


def test_the_websocket_client_refuses_a_wrong_key(exchange: RunningExchange) -> None:
    client = WebSocketClient(
        "wrong", feed=exchange.address, market="stocks", secure=False, subscriptions=["A.*"]
    )
    with pytest.raises(AuthError, match="authentication failed"):
        client.run(lambda _messages: None)


def test_the_rest_client_lists_reference_data(rest: RESTClient) -> None:
    tickers = {ticker.ticker for ticker in rest.list_tickers(limit=100)}
    assert len(tickers) > 250
    assert rest.get_ticker_types()
    assert rest.get_exchanges()
    assert next(iter(rest.list_splits())).execution_date > "2026-10"
    assert rest.get_market_holidays()[0].date == "2026-11-26"
    assert rest.get_market_status().market == "open"


def test_the_rest_client_pages_through_aggregates(rest: RESTClient) -> None:
    seconds = list(
        rest.list_aggs(
            "AAPL", 1, "second", "2026-11-19", "2026-11-19", limit=10_000, adjusted=False
        )
    )
    starts = [second.timestamp for second in seconds]
    assert len(starts) == len(set(starts)) > 20_000
    assert list(islice(rest.list_aggs("NOSUCH", 1, "day", "2026-11-19", "2026-11-19"), 5)) == []


def test_the_rest_client_reads_daily_endpoints(rest: RESTClient) -> None:
    grouped = {bar.ticker: bar for bar in rest.get_grouped_daily_aggs("2026-11-19")}
    (previous,) = rest.get_previous_close_agg("AAPL")
    daily = rest.get_daily_open_close_agg("AAPL", "2026-11-19")
    assert grouped["AAPL"].close == previous.close == daily.close
    assert daily.high == previous.high
