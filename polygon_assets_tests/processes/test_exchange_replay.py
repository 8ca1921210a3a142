"""A replayed day: the clock waits for the first subscriber; the bars begin with the replay."""

import datetime as dt
import time
from collections.abc import Iterator

import pytest
import requests

from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.market_clock import MarketClock, clock_of
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.unit.local.exchange.harness import (
    DAY,
    RunningExchange,
    ask,
    authenticate,
    next_event,
    receive,
    running_exchange,
)

BEGINS = dt.datetime.combine(DAY, dt.time(15, 50), NEW_YORK).timestamp()
# Every ticker trades in every second.
REPLAY = (
    "--replay",
    str(DAY),
    "--replay-from",
    "15:50",
    "--tickers",
    "50",
    "--activity",
    "1e9",
    "--no-earlier-trades",
)


@pytest.fixture
def exchange() -> Iterator[RunningExchange]:
    with running_exchange(*REPLAY, "--speed", "20") as running:
        yield running


def clock(exchange: RunningExchange) -> MarketClock:
    return clock_of(requests.get(f"http://{exchange.address}/control/clock", timeout=10).json())


def test_the_clock_stands_still_until_a_channel_is_confirmed(exchange: RunningExchange) -> None:
    assert exchange.stats()["exchange_time"] == BEGINS
    with exchange.socket() as socket:
        authenticate(socket)
        ask(socket, "subscribe", "T.AAPL")  # not in the plan
        assert [status["status"] for status in receive(socket)] == ["error"]
        time.sleep(0.3)
        assert exchange.stats()["exchange_time"] == BEGINS
        assert clock(exchange).anchors == ()
        ask(socket, "subscribe", "A.AAPL")
        assert [status["status"] for status in receive(socket)] == ["success"]
        eventually(lambda: exchange.stats()["exchange_time"] > BEGINS, "the clock runs")
        [(_, market)] = clock(exchange).anchors
        assert market == BEGINS


def test_the_first_second_of_the_replay_is_sent(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL") as socket:
        assert next_event(socket)["s"] == BEGINS * 1000


def test_a_client_that_reconnects_does_not_restart_the_replay(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL") as socket:
        next_event(socket)
    before = clock(exchange)
    with exchange.streaming("A.AAPL") as socket:
        assert next_event(socket)["s"] > BEGINS * 1000
    assert clock(exchange).anchors[0] == before.anchors[0]


@pytest.mark.long
def test_the_days_bars_begin_with_the_replay() -> None:
    with running_exchange(*REPLAY, "--speed", "100000") as exchange:
        with exchange.streaming("A.AAPL"):
            eventually(
                lambda: exchange.stats()["exchange_time"] > BEGINS + 4 * 3600 + 600,
                "the day is over",
            )
        path = f"/v2/aggs/ticker/AAPL/range/1/{{}}/{DAY}/{DAY}"
        seconds = exchange.json(path.format("second"), adjusted="false", limit="50000")["results"]
        assert seconds[0]["t"] == BEGINS * 1000
        minutes = exchange.json(path.format("minute"), adjusted="false", limit="50000")["results"]
        assert minutes[0]["t"] == BEGINS * 1000
        grouped = exchange.json(
            f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}", adjusted="false"
        )["results"]
        [bar] = [record for record in grouped if record["T"] == "AAPL"]
        daily = exchange.json(f"/v1/open-close/AAPL/{DAY}", adjusted="false")
        assert bar["o"] == daily["open"] == seconds[0]["o"]
        assert bar["v"] == daily["volume"] == sum(second["v"] for second in seconds)
        assert "preMarket" not in daily
        earlier = exchange.json(
            f"/v1/open-close/AAPL/{DAY - dt.timedelta(days=1)}", adjusted="false"
        )
        assert "preMarket" in earlier, "the day before is complete"
