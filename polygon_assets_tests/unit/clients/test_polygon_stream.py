"""The login for every answer of the vendor: the error quotes the vendor's words and the cure."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from polygon_assets.clients import polygon_stream
from polygon_assets.clients.polygon_login import LoginRefusedError
from polygon_assets.clients.polygon_stream import (
    ConnectionLostError,
    TooManyConnectionsError,
    open_connection,
)
from polygon_assets.settings import Settings

CONNECTED = '[{"ev":"status","status":"connected","message":"Connected Successfully"}]'
KEY, PLAN, BOTH = (
    "check the key",
    "the account's plan lacks this feed",
    "check the key and the plan",
)


def log_in(*answers: str, close: tuple[int, str] | None = None) -> None:
    """Log in to a server that sends `answers` after the key, then closes or stays silent."""

    async def talk(socket: ServerConnection) -> None:
        await socket.send(CONNECTED)
        await socket.recv()
        for answer in answers:
            await socket.send(answer)
        if close:
            await socket.close(*close)
        await socket.wait_closed()

    async def run() -> None:
        async with serve(talk, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            address = {
                "polygon_websocket_url": f"ws://127.0.0.1:{port}/stocks",
                "polygon_api_key": "the-secret-key",
            }
            async with open_connection(Settings.model_validate(address)):
                pass

    asyncio.run(run())


@pytest.fixture(autouse=True)
def short_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygon_stream, "HANDSHAKE_SECONDS", 2.0)


def status(name: str, message: str) -> str:
    return f'[{{"ev":"status","status":"{name}","message":"{message}"}}]'


@pytest.mark.parametrize(
    "answers",
    [
        (status("auth_success", "authenticated"),),
        (status("success", "Authenticated"),),
        ('{"ev":"status","status":"auth_success","message":"authenticated"}',),
        (status("info", "maintenance tonight"), status("auth_success", "authenticated")),
        ("<not a frame>", status("auth_success", "authenticated")),
    ],
)
def test_an_accepted_key_opens_the_connection(answers: tuple[str, ...]) -> None:
    log_in(*answers)


@pytest.mark.parametrize(
    ("answer", "cause", "cure"),
    [
        (status("auth_failed", "authentication failed"), "key", KEY),
        (status("error", "authentication failed"), "key", KEY),
        ('{"status":"error","message":"authentication failed"}', "key", KEY),
        (status("ERROR", "Unknown API Key"), "key", KEY),
        (status("auth_failed", ""), "key", KEY),
        (
            status("error", "Your plan does not include websocket access. Visit the pricing page."),
            "plan",
            PLAN,
        ),
        (
            status("auth_failed", "Your API key is not entitled to this cluster, please upgrade"),
            "plan",
            PLAN,
        ),
        (status("error", "not authorized"), "plan", PLAN),
        (status("not_authorized", "You are not authorized"), "plan", PLAN),
        (status("warning", "your subscription plan has expired"), "plan", PLAN),
        (status("error", "teapot"), "unknown", BOTH),
        ('[{"ev":"status","status":"error","message":null}]', "unknown", BOTH),
        ('{"status":"ERROR","error":"Unknown API Key","request_id":"1"}', "key", KEY),
        ('{"status":"ERROR","reason":"the plan has expired"}', "plan", PLAN),
        ('{"ev":"status","status":"error","code":{"teapot":418}}', "unknown", BOTH),
        (status("error", "bad api_key"), "key", KEY),
        (status("error", "monkey business"), "unknown", BOTH),
        (status("error", "no explanation: planned maintenance"), "unknown", BOTH),
    ],
)
def test_a_refusal_has_the_vendor_s_words_and_the_cure(answer: str, cause: str, cure: str) -> None:
    with pytest.raises(LoginRefusedError) as caught:
        log_in(answer)
    assert caught.value.cause == cause
    assert cure in str(caught.value)
    for words in ("authentication failed", "teapot", "Unknown API Key", "pricing page", "expired"):
        assert (words in answer) == (words in str(caught.value))


@pytest.mark.parametrize("words", ["authentication failed", "not authenticated"])
def test_success_with_other_words_is_not_an_accepted_key(words: str) -> None:
    with pytest.raises(LoginRefusedError, match=words):
        log_in(status("success", words))


@pytest.mark.parametrize(
    "answer",
    [
        status("maintenance", "teapot"),
        '[{"teapot":1}]',
        "teapot",
        '{"action":"auth","params":"the-secret-key"}',
    ],
)
@pytest.mark.parametrize("close", [None, (1000, ""), (1008, "policy")])
def test_an_unknown_answer_that_is_not_followed_by_success_is_a_refusal(
    answer: str, close: tuple[int, str] | None
) -> None:
    with pytest.raises(LoginRefusedError) as caught:
        log_in(answer, close=close)
    assert caught.value.cause == "unknown"
    assert ("teapot" in str(caught.value)) == ("teapot" in answer)
    assert BOTH in str(caught.value)
    assert "the-secret-key" not in str(caught.value)


def test_the_reason_of_a_close_counts_as_an_answer() -> None:
    with pytest.raises(LoginRefusedError, match="authentication failed") as caught:
        log_in(close=(1008, "authentication failed"))
    assert caught.value.cause == "key"


def test_silence_and_a_close_without_a_reason_may_be_retried() -> None:
    with pytest.raises(ConnectionLostError, match="no answer to the key within 2 s"):
        log_in()
    with pytest.raises(ConnectionLostError, match="closed before the key was accepted"):
        log_in(close=(1011, "internal error"))
    with pytest.raises(ConnectionLostError, match="auth_timeout"):
        log_in(status("auth_timeout", "No authentication request received."))
    with pytest.raises(TooManyConnectionsError, match="another connection uses this account"):
        log_in(status("max_connections", "Maximum number of websocket connections exceeded. "))


def test_a_vendor_that_quotes_the_key_does_not_put_it_into_the_error() -> None:
    quoted = "unknown key the-secret-key"
    refusal = status("auth_failed", quoted)
    for answers, close in (
        ((refusal,), None),
        ((), (1008, quoted)),
        ((), (1011, "the-secret-key")),
    ):
        with pytest.raises((LoginRefusedError, ConnectionLostError), match=r"\*\*\*") as caught:
            log_in(*answers, close=close)
        assert "the-secret-key" not in f"{caught.value} {caught.value!r}"


def test_a_copy_that_may_not_log_in_sends_no_key() -> None:
    received: list[str | bytes] = []

    async def talk(socket: ServerConnection) -> None:
        await socket.send(CONNECTED)
        received.extend([message async for message in socket])

    async def refuse() -> None:
        raise ConnectionLostError("another copy leads")

    async def run() -> None:
        async with serve(talk, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            address = {"polygon_websocket_url": f"ws://127.0.0.1:{port}/stocks"}
            settings = Settings.model_validate(address | {"polygon_api_key": "the-secret-key"})
            async with open_connection(settings, before_login=refuse):
                pass

    with pytest.raises(ConnectionLostError, match="another copy leads"):
        asyncio.run(run())
    assert received == []
