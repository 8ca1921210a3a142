"""Starts the simulated exchange as a process; connects with a raw WebSocket and plain HTTP.

Add what several test modules need; expectations belong to the tests.
"""

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

KEY = "test-key"
DAY = dt.date(2026, 11, 20)
TICKERS = 300
SEED = 7
# One exchange second is 50 ms: a minute, and corrections, come within seconds.
FAST = ("--replay", str(DAY), "--replay-from", "10:30", "--speed", "20", "--tickers", str(TICKERS))
Message = dict[str, Any]


@dataclass(frozen=True)
class RunningExchange:
    process: subprocess.Popen[str]
    address: str
    """host:port"""

    def get(self, path: str, key: str = KEY, **query: str) -> requests.Response:
        return requests.get(
            f"http://{self.address}{path}",
            params=query,
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )

    def json(self, path: str, **query: str) -> Message:
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        content: Message = response.json()
        return content

    def control(self, action: str, **body: object) -> Message:
        response = requests.post(f"http://{self.address}/control/{action}", json=body, timeout=10)
        assert response.status_code == 200, response.text
        content: Message = response.json()
        return content

    def stats(self) -> Message:
        content: Message = requests.get(f"http://{self.address}/control/stats", timeout=10).json()
        return content

    def clear_faults(self) -> None:
        requests.delete(f"http://{self.address}/control", timeout=10)
        self.control("rate-limit", per_minute=None)

    @contextmanager
    def socket(self, path: str = "/stocks", **options: Any) -> Iterator[ClientConnection]:
        """A connection after the welcome, before authentication."""
        with connect(
            f"ws://{self.address}{path}",
            max_size=None,
            compression=None,
            close_timeout=1,
            **options,
        ) as socket:
            assert receive(socket) == [
                {"ev": "status", "status": "connected", "message": "Connected Successfully"}
            ]
            yield socket

    @contextmanager
    def streaming(self, channels: str, path: str = "/stocks") -> Iterator[ClientConnection]:
        """An authenticated connection with these subscriptions."""
        with self.socket(path) as socket:
            authenticate(socket)
            ask(socket, "subscribe", channels)
            assert {message["status"] for message in receive(socket)} == {"success"}
            yield socket


@contextmanager
def running_exchange(*options: str) -> Iterator[RunningExchange]:
    """An exchange on a free port; its end: SIGTERM, and exit code 0 within 5 seconds."""
    command = [
        sys.executable,
        "-m",
        "polygon_assets.local.exchange",
        "--port",
        "0",
        "--api-key",
        KEY,
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("exchange on http://"), line
            yield RunningExchange(process, line.strip().removeprefix("exchange on http://"))
            process.terminate()
            assert process.wait(5) == 0
        finally:
            process.kill()


def all_pages(exchange: RunningExchange, path: str, **query: str) -> list[Message]:
    """All results, following next_url with the key in a header, as the vendor requires."""
    reply = exchange.json(path, **query)
    results: list[Message] = reply.get("results", [])
    while "next_url" in reply:
        assert "test-key" not in reply["next_url"]
        reply = requests.get(
            reply["next_url"], headers={"Authorization": "Bearer test-key"}, timeout=30
        ).json()
        results += reply.get("results", [])
    return results


def receive(socket: ClientConnection, timeout: float = 10) -> list[Message]:
    content: list[Message] = json.loads(socket.recv(timeout=timeout))
    return content


def ask(socket: ClientConnection, action: str, params: str) -> None:
    socket.send(json.dumps({"action": action, "params": params}))


def authenticate(socket: ClientConnection, key: str = KEY) -> None:
    ask(socket, "auth", key)
    assert receive(socket) == [
        {"ev": "status", "status": "auth_success", "message": "authenticated"}
    ]


def until_closed(socket: ClientConnection) -> tuple[list[Message], int | None]:
    """All messages before the end, and the close code; None if the connection was cut."""
    messages: list[Message] = []
    try:
        while True:
            messages += receive(socket)
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code if closed.rcvd else None


def events(socket: ClientConnection, seconds: float) -> list[Message]:
    """All messages that arrive within `seconds` of wall time."""
    messages: list[Message] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            messages += receive(socket, left)
        except TimeoutError:
            break
    return messages


def next_event(socket: ClientConnection, timeout: float = 10) -> Message:
    """The next market event, after any number of statuses."""
    while True:
        for message in receive(socket, timeout):
            if message.get("ev") in ("A", "AM"):
                return message
