"""The messages that a WebSocket client receives, compared with the market's final bars."""

import socket as socket_module
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest

from polygon_assets.local.exchange.market.columns import Columns
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market, Messages
from polygon_assets_tests import market_bars
from polygon_assets_tests.unit.local.exchange.harness import (
    DAY,
    FAST,
    SEED,
    TICKERS,
    Message,
    RunningExchange,
    ask,
    authenticate,
    events,
    next_event,
    receive,
    running_exchange,
    until_closed,
)

PING_FRAME = b"\x89\x00"
RATES = Rates(correction=0.2, duplicate=0.05)


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    rates = ("--correction-rate", "0.2", "--duplicate-rate", "0.05", "--fraction-rate", "0.5")
    with running_exchange(*FAST, *rates, "--auth-seconds", "0.5") as running:
        yield running


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SEED, TICKERS, fraction_rate=0.5)


@pytest.fixture(scope="module")
def stream(exchange: RunningExchange) -> list[Message]:
    """About 150 exchange seconds of A.* and AM.*."""
    with exchange.streaming("A.*,AM.*") as socket:
        return events(socket, 7.5)


def by_key(stream: list[Message], kind: str) -> dict[tuple[str, int], list[Message]]:
    versions: dict[tuple[str, int], list[Message]] = defaultdict(list)
    for message in stream:
        if message["ev"] == kind:
            versions[message["sym"], message["s"]].append(message)
    return versions


def test_each_second_is_sent_first_provisional_and_then_corrected(
    stream: list[Message], market: Market
) -> None:
    versions = by_key(stream, "A")
    corrected = 0
    for symbol in sorted({symbol for symbol, _ in versions})[:25]:
        truth = market.messages(symbol, DAY, RATES)
        assert truth is not None
        place = {ms: number for number, ms in enumerate(truth.final.start_ms.tolist())}
        for (name, start), (first, *later) in versions.items():
            if name == symbol:
                corrected += assert_agrees(truth, place[start], first, later)
    assert corrected > 20


def assert_agrees(truth: Messages, number: int, first: Message, later: list[Message]) -> bool:
    """Compare the versions of a second with the market's; true if a correction was among them."""
    final = truth.final.volume[number]
    last = later[-1] if later else first
    if not truth.late[number]:
        assert later == [first] * int(truth.repeated[number])
        assert_final(last, truth.final, number)
        return False
    # The first version may have been sent before this client subscribed.
    assert thousandths(first, "v") in (truth.first.volume[number], final)
    if thousandths(last, "v") == final:
        assert_final(last, truth.final, number)
    return bool(thousandths(first, "v") < final == thousandths(last, "v"))


def assert_final(message: Message, final: Columns, number: int) -> None:
    names = {
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "vw": "vwap",
        "a": "day_vwap",
        "z": "average_size",
        "op": "official_open",
    }
    assert {short: message[short] for short in names} == {
        short: getattr(final, name)[number] for short, name in names.items()
    }
    assert thousandths(message, "v") == final.volume[number]
    assert thousandths(message, "av") == final.accumulated_volume[number]


def thousandths(message: Message, name: str) -> int:
    """A volume in thousandths of a share, from its decimal string if it has one."""
    return round(1000 * float(message["d" + name] if "d" + name in message else message[name]))


def test_fractional_volumes_are_decimal_strings_beside_the_whole_part(
    stream: list[Message],
) -> None:
    seconds = [message for message in stream if message["ev"] == "A"]
    fractional = [message for message in seconds if "dv" in message]
    assert fractional
    assert len(fractional) < len(seconds) / 4
    for message in fractional:
        whole, part = message["dv"].split(".")
        assert int(whole) == message["v"]
        assert 1 <= len(part) <= 3
    assert all(isinstance(message["v"], int) and message["v"] >= 1 for message in seconds)


def test_otc_is_omitted_when_false_and_op_is_present_in_regular_hours(
    stream: list[Message], market: Market
) -> None:
    otc = {market.universe.symbols[number] for number in market.universe.otc.nonzero()[0]}
    data = [message for message in stream if message["ev"] in ("A", "AM")]
    assert all(message.get("otc", False) == (message["sym"] in otc) for message in data)
    assert all(
        "op" in message
        and message["e"] - message["s"] == (1000 if message["ev"] == "A" else 60_000)
        for message in data
    )


def test_minute_bars_are_the_sum_of_their_seconds(stream: list[Message], market: Market) -> None:
    minutes = by_key(stream, "AM")
    assert minutes
    for (symbol, start), (message, *others) in list(minutes.items())[:200]:
        table = market_bars.minutes(market, symbol, DAY)
        row = table[table["start_ms"] == start][0]
        assert others == []
        assert (message["o"], message["h"], message["l"], message["c"]) == tuple(
            row[["open", "high", "low", "close"]]
        )
        assert thousandths(message, "v") == round(1000 * row["volume"])


def test_a_frame_has_many_events_of_one_second_and_seconds_are_ordered(
    exchange: RunningExchange,
) -> None:
    with exchange.streaming("A.*") as socket:
        frames = [receive(socket) for _ in range(20)]
    newest = [max(message["s"] for message in frame) for frame in frames]
    assert newest == sorted(newest)
    assert max(len(frame) for frame in frames) > 50


def test_seconds_are_sent_two_seconds_after_they_end(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL") as socket:
        next_event(socket)
        start = next_event(socket)["s"]
        ahead = exchange.stats()["exchange_time"] - (start / 1000 + 1)
    assert 2.0 <= ahead < 12.0  # at speed 20, jitter of the wall clock counts 20 times


def test_the_delayed_cluster_is_fifteen_minutes_behind(exchange: RunningExchange) -> None:
    with exchange.streaming("A.*", path="/delayed/stocks") as socket:
        start = next_event(socket)["s"]
        behind = exchange.stats()["exchange_time"] - start / 1000
    assert 900 < behind < 930


def test_refusals_come_before_confirmations_and_other_channels_get_no_answer(
    exchange: RunningExchange,
) -> None:
    with exchange.socket() as socket:
        authenticate(socket)
        ask(socket, "subscribe", "AM.MSFT,T.AAPL,AM.NOSUCHTICKER,ZZ.AAPL,AM.MSFT")
        assert receive(socket) == [
            {"status": "error", "message": "not authorized"},
            {"ev": "status", "status": "success", "message": "subscribed to: AM.MSFT"},
            {"ev": "status", "status": "success", "message": "subscribed to: AM.NOSUCHTICKER"},
        ]
        ask(socket, "subscribe", "AM.MSFT,ZZ.AAPL")
        ask(socket, "unsubscribe", "AM.MSFT,AM.GOOGL")
        assert receive(socket) == [
            {"ev": "status", "status": "success", "message": "unsubscribed to: AM.MSFT"}
        ]


def test_four_thousand_channels_are_confirmed_in_one_answer(exchange: RunningExchange) -> None:
    with exchange.socket() as socket:
        authenticate(socket)
        ask(socket, "subscribe", ",".join(f"A.X{number}" for number in range(4000)))
        assert len(receive(socket)) == 4000


def test_an_unsubscribed_channel_sends_no_more_events(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL,A.MSFT") as socket:
        ask(socket, "unsubscribe", "A.AAPL")
        messages: list[Message] = []
        later: list[Message] = []
        while len(later) < 20:
            messages += receive(socket)
            confirmed = [n for n, message in enumerate(messages) if message["ev"] == "status"]
            later = messages[confirmed[0] + 1 :] if confirmed else []
    assert {message["sym"] for message in later} == {"MSFT"}


def test_a_wrong_key_fails_and_no_key_times_out(exchange: RunningExchange) -> None:
    with exchange.socket() as socket:
        ask(socket, "auth", "wrong")
        assert receive(socket) == [
            {"ev": "status", "status": "auth_failed", "message": "authentication failed"}
        ]
        assert until_closed(socket) == ([], 1008)
    with exchange.socket() as socket:
        assert receive(socket) == [
            {
                "ev": "status",
                "status": "auth_timeout",
                "message": "No authentication request received.",
            }
        ]


def test_binary_and_fragmented_requests_are_accepted(exchange: RunningExchange) -> None:
    with exchange.socket() as socket:
        socket.send(b'{"action":"auth","params":"test-key"}')
        assert receive(socket)[0]["status"] == "auth_success"
        socket.send(iter(['{"action":"subscribe",', '"params":"A.AAPL"}']))
        assert receive(socket)[0]["message"] == "subscribed to: A.AAPL"


def test_a_ping_precedes_the_first_status_and_a_vanished_client_harms_no_other(
    exchange: RunningExchange,
) -> None:
    host, port = exchange.address.split(":")
    with socket_module.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(
            f"GET /stocks HTTP/1.1\r\nHost: {exchange.address}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        received = b""
        while b"Connected Successfully" not in received:
            received += raw.recv(4096)
    head, _, frames = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert frames.startswith(PING_FRAME)
    with exchange.streaming("A.AAPL") as socket:
        assert next_event(socket)["sym"] == "AAPL"


def test_the_older_connection_is_evicted(exchange: RunningExchange) -> None:
    with exchange.streaming("A.AAPL") as older, exchange.streaming("A.AAPL") as newer:
        messages, code = until_closed(older)
        assert messages[-1] == {
            "ev": "status",
            "status": "max_connections",
            "message": "Maximum number of websocket connections exceeded. ",
        }
        assert code == 1008
        assert next_event(newer)["sym"] == "AAPL"


@pytest.mark.parametrize(("evict", "code"), [("newer", 1008), ("abort", None)])
def test_the_other_ways_of_enforcing_the_cap(evict: str, code: int | None) -> None:
    with (
        running_exchange(*FAST, "--evict", evict) as exchange,
        exchange.streaming("A.AAPL") as older,
        exchange.socket() as newer,
    ):
        authenticate(newer)
        loser, winner = (newer, older) if evict == "newer" else (older, newer)
        assert until_closed(loser)[1] == code
        ask(winner, "subscribe", "A.MSFT")
        assert any(
            message.get("message") == "subscribed to: A.MSFT" for message in events(winner, 0.5)
        )


def test_a_client_that_does_not_read_is_cut_off_as_a_slow_consumer() -> None:
    options = (
        "--replay",
        str(DAY),
        "--replay-from",
        "11:00",
        "--speed",
        "900",
        "--tickers",
        "2000",
        "--buffer-bytes",
        "100000",
    )
    with running_exchange(*options) as exchange, exchange.streaming("A.*"):
        end = time.monotonic() + 20
        while (
            not (ended := exchange.stats()["feeds"]["/stocks"]["ended"]) and time.monotonic() < end
        ):
            time.sleep(0.1)
    assert [connection["ended"] for connection in ended] == ["slow_consumer"]


def test_a_replay_is_closed_after_its_session() -> None:
    options = (
        "--replay",
        "2026-11-27",
        "--replay-from",
        "16:59",
        "--speed",
        "1000",
        "--tickers",
        "100",
        "--activity",
        "1e9",
    )
    with running_exchange(*options) as exchange, exchange.streaming("A.AAPL") as socket:
        stream = events(socket, 1.5)
        status = exchange.json("/v1/marketstatus/now")
    assert status["market"] == "closed"
    assert len({message["s"] for message in stream}) in range(1, 62)
    # 17:00 New York: the day after Thanksgiving closes early.
    assert max(message["e"] for message in stream) == 1795816800000
