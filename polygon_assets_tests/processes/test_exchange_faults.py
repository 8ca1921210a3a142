"""One test per fault of /control, from a client's side."""

import datetime as dt
import time
from collections.abc import Iterator

import pytest
import requests
from websockets.exceptions import InvalidMessage, InvalidStatus

from polygon_assets_tests.unit.local.exchange.harness import (
    DAY,
    FAST,
    RunningExchange,
    ask,
    authenticate,
    events,
    next_event,
    receive,
    running_exchange,
    until_closed,
)

TICKERS_PATH = "/v3/reference/tickers"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningExchange]:
    with running_exchange(*FAST) as running:
        yield running


@pytest.fixture
def exchange(server: RunningExchange) -> RunningExchange:
    server.clear_faults()
    return server


def test_drop_cuts_the_connection_without_a_close_frame(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*") as socket:
        exchange.control("drop")
        assert until_closed(socket)[1] is None


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1009, 1011])
def test_close_sends_the_code(exchange: RunningExchange, code: int) -> None:
    with exchange.streaming("A.*") as socket:
        exchange.control("close", code=code)
        assert until_closed(socket)[1] == code


def test_close_1006_is_an_abort(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*") as socket:
        exchange.control("close", code=1006)
        assert until_closed(socket)[1] is None


def test_evict_sends_max_connections_and_closes_with_1008(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*") as socket:
        exchange.control("evict")
        messages, code = until_closed(socket)
    assert (messages[-1]["status"], code) == ("max_connections", 1008)


def test_silence_on_a_channel_leaves_the_others(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL,A.MSFT") as socket:
        exchange.control("silence", channel="A.AAPL", seconds=0.8)
        events(socket, 0.2)
        assert {message["sym"] for message in events(socket, 0.4)} == {"MSFT"}
        assert {message["sym"] for message in events(socket, 0.8)} == {"AAPL", "MSFT"}


def test_silence_on_all_channels_ends_by_itself(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*") as socket:
        exchange.control("silence", seconds=0.8)
        events(socket, 0.2)
        assert events(socket, 0.4) == []
        assert next_event(socket)["ev"] == "A"


def test_garbage_frame_is_no_json(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL") as socket:
        exchange.control("garbage", kind="frame")
        frames = [str(socket.recv(timeout=5)) for _ in range(5)]
    assert any(frame.endswith(",}") for frame in frames)


def test_garbage_text_is_sent_as_given(exchange: RunningExchange) -> None:
    with exchange.streaming("A.NONE") as socket:
        exchange.control("garbage", text="not json")
        assert socket.recv(timeout=5) == "not json"


def test_garbage_events_are_sent_among_good_ones(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*") as socket:
        exchange.control("garbage", kind="event")
        frames = [receive(socket) for _ in range(10)]
    [spoilt] = [frame for frame in frames if any("s" not in message for message in frame)]
    assert sum("s" in message for message in spoilt) > 10


def test_a_large_frame_exceeds_one_mebibyte(exchange: RunningExchange) -> None:
    with exchange.streaming("A.NONE") as socket:
        exchange.control("garbage", kind="large")
        assert len(socket.recv(timeout=5)) > 1 << 20


def test_slow_delays_all_events(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*") as socket:
        next_event(socket)
        exchange.control("slow", delay=0.5, seconds=30)
        events(socket, 0.6)
        behind = exchange.stats()["exchange_time"] - next_event(socket)["s"] / 1000
    assert 10 < behind < 30  # half a second at speed 20, and the usual 2 s


def test_late_bars_are_sent_minutes_later_and_none_is_lost(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL") as socket:
        before = next_event(socket)["s"]
        exchange.control("late", minutes=1, seconds=0.5)
        stream = events(socket, 5)
    starts = [message["s"] for message in stream]
    assert starts != sorted(starts)
    late = [
        earlier
        for earlier, newest in zip(starts, [before, *starts], strict=False)
        if earlier < newest - 50_000
    ]
    assert len(late) >= 5


def test_rest_faults_have_the_vendors_bodies_and_end_by_themselves(
    exchange: RunningExchange,
) -> None:
    exchange.control("rest", status=429, count=2, retry_after=3)
    exchange.control("rest", status=502, count=1, path="/v1/marketstatus")
    exchange.control("rest", status=429, count=1, empty=True)
    first = exchange.get(TICKERS_PATH)
    assert (first.status_code, first.headers["Retry-After"]) == (429, "3")
    assert first.json()["error"].startswith("You've exceeded the maximum requests per minute")
    assert exchange.get(TICKERS_PATH).status_code == 429
    assert exchange.get("/v1/marketstatus/now").status_code == 502
    assert exchange.get(TICKERS_PATH).content == b""
    assert exchange.get(TICKERS_PATH).status_code == 200


def test_a_refused_channel_is_not_authorized(exchange: RunningExchange) -> None:
    exchange.control("refuse", channel="A.TSLA")
    with exchange.socket() as socket:
        authenticate(socket)
        ask(socket, "subscribe", "A.NVDA,A.TSLA")
        assert [message["status"] for message in receive(socket)] == ["error", "success"]


def test_a_refused_key_fails_everywhere(exchange: RunningExchange) -> None:
    exchange.control("refuse", key=True)
    response = exchange.get(TICKERS_PATH)
    assert (response.status_code, response.json()["error"]) == (401, "Unknown API Key")
    with exchange.socket() as socket:
        ask(socket, "auth", "test-key")
        assert receive(socket)[0]["status"] == "auth_failed"


def test_a_plan_without_websocket_refuses_the_login_and_answers_rest(
    exchange: RunningExchange,
) -> None:
    exchange.control("refuse", stream=True)
    with exchange.socket() as socket:
        ask(socket, "auth", "test-key")
        [refusal] = receive(socket)
    assert refusal["status"] == "auth_failed"
    assert "plan doesn't include websocket access" in refusal["message"]
    assert exchange.get(TICKERS_PATH).status_code == 200


def test_a_refused_entitlement_is_403_only_for_its_paths(exchange: RunningExchange) -> None:
    exchange.control("refuse", entitlement="/v2/aggs")
    response = exchange.get("/v2/aggs/ticker/AAPL/prev")
    assert (response.status_code, response.json()["status"]) == (403, "NOT_AUTHORIZED")
    assert exchange.get(TICKERS_PATH).status_code == 200


def test_the_free_plan_refuses_only_the_daily_bars_of_today(exchange: RunningExchange) -> None:
    exchange.control("refuse", today=True)
    for path in ("/v1/open-close/AAPL", "/v2/aggs/grouped/locale/us/market/stocks"):
        assert "before end of day" in exchange.get(f"{path}/{DAY}").json()["message"]
        assert exchange.get(f"{path}/{DAY - dt.timedelta(days=1)}").status_code == 200


def test_the_rate_limit_can_be_set(exchange: RunningExchange) -> None:
    exchange.control("rate-limit", per_minute=0)
    assert exchange.get(TICKERS_PATH).status_code == 429
    exchange.control("rate-limit", per_minute=10_000)
    assert exchange.get(TICKERS_PATH).status_code == 200


def test_handshakes_can_fail_with_a_status_or_without_an_answer(exchange: RunningExchange) -> None:
    exchange.control("handshake", status=503)
    exchange.control("handshake", status=0)
    with pytest.raises(InvalidStatus) as refused, exchange.socket():
        pass
    assert refused.value.response.status_code == 503
    with pytest.raises((InvalidMessage, ConnectionError, EOFError)), exchange.socket():
        pass
    with exchange.streaming("A.AAPL") as socket:
        assert next_event(socket)["sym"] == "AAPL"


def test_stats_report_what_was_sent(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL,A.MSFT") as socket:
        received = [next_event(socket) for _ in range(10)]
        (connection,) = exchange.stats()["feeds"]["/stocks"]["connections"]
        exchange.control("drop", connection=connection["id"])
        received += until_closed(socket)[0]
    ended = exchange.stats()["feeds"]["/stocks"]["ended"][-1]
    assert connection["channels"] == ["A.AAPL", "A.MSFT"]
    assert (ended["id"], ended["ended"]) == (connection["id"], "drop")
    assert ended["sent"]["first_second"] == received[0]["s"] / 1000
    assert ended["sent"]["events"] >= len(received)


def test_an_unknown_action_and_a_bad_body_are_refused_with_a_reason(
    exchange: RunningExchange,
) -> None:
    address = f"http://{exchange.address}/control"
    assert requests.post(f"{address}/explode", timeout=5).status_code == 404
    assert (
        requests.post(f"{address}/silence", json={"seconds": "soon"}, timeout=5).status_code == 400
    )
    assert requests.post(f"{address}/silence", data=b"[", timeout=5).status_code == 400


def test_healthz_answers_at_once_and_needs_no_key(exchange: RunningExchange) -> None:
    started = time.monotonic()
    assert requests.get(f"http://{exchange.address}/healthz", timeout=5).json()["status"] == "ok"
    assert time.monotonic() - started < 1
