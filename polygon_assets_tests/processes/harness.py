"""Stream programs as processes against the embedded stack: start, wait, break and stop them.

Add a helper here when several modules use it; the live market belongs to live_market.
"""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
from clickhouse_connect.driver.client import Client

from polygon_assets.clients import clickhouse, subscription_store
from polygon_assets.inspection.kafka_reader import KafkaReader
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.messages import (
    DeadLetter,
    Gap,
    Heartbeat,
    RawAggregate,
    decode_dead_letter,
    decode_gap,
    decode_raw,
    encode,
)
from polygon_assets.settings import Settings
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.subscriptions import accept
from polygon_assets.topics import DEAD_LETTER_TOPIC, GAP_TOPIC, RAW_TOPIC

PATIENCE_SECONDS = 90.0
"""Seven times the slowest wait on an idle machine (12 s), for a busy machine."""

T = TypeVar("T")
RUN = "from polygon_assets.cli import main; main()"


def eventually(check: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first true result of `check`; after `seconds`, fail with `what` and the last result.

    The pause is as long as the check, up to 2 s: a check that starts a process would otherwise keep
    a processor from what it waits for.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if result := check():
            return result
        ended = time.monotonic()
        assert ended < deadline, f"not within {seconds:.0f} s: {what}; last result {result!r}"
        time.sleep(min(max(0.1, ended - began), 2.0))


class Program:
    """One stream program, its log in a file."""

    def __init__(
        self, name: str, environment: dict[str, str], folder: Path, prelude: str = ""
    ) -> None:
        """`prelude` is Python code that runs before the program, in its process."""
        self.name = name
        start = ["-c", f"{prelude}\n{RUN}"] if prelude else ["-m", "polygon_assets.cli"]
        self.log_file = folder / f"{name}-{time.monotonic_ns()}.log"
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *start, "stream", name],
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def wait_for_log(self, text: str) -> None:
        """Wait until the log contains `text`."""
        self.until(lambda: text in self.log, f"its log contains {text!r}")

    def until(self, check: Callable[[], T], what: str) -> T:
        """`eventually`, with the program's log in the failure."""
        try:
            return eventually(check, what)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {error}; its log:\n{self.log}") from None

    def command_line(self) -> str:
        """What everybody on the machine can read of the process."""
        return " ".join(psutil.Process(self.pid).cmdline())

    def is_running(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        return self._process.wait(PATIENCE_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.send(number)
        return self.exit_code()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, and wait for nothing."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process at once, as a crash would."""
        if self.is_running():
            self._process.kill()
        self._process.wait()


class Programs:
    """Starts programs with one stack's environment, and kills them in the end."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._started: list[Program] = []

    def start(self, name: str, *, prelude: str = "", **changes: str) -> Program:
        """Start a program; `changes` are further environment variables."""
        program = Program(name, self._environment | changes, self._folder, prelude)
        self._started.append(program)
        return program

    def kill_all(self) -> None:
        """Kill the programs that still run."""
        for program in self._started:
            program.kill()


class Exchange:
    """The simulated exchange's control endpoint."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/control"

    def control(self, action: str, **body: object) -> None:
        """Switch a fault on."""
        answer = requests.post(f"{self._address}/{action}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text

    def clear(self) -> None:
        """Switch every fault off."""
        requests.delete(self._address, timeout=10)

    def stats(self) -> dict[str, Any]:
        content: dict[str, Any] = requests.get(f"{self._address}/stats", timeout=10).json()
        return content

    def connections(self) -> list[dict[str, Any]]:
        """The connections that are authenticated now."""
        return list(self.stats()["feeds"]["/stocks"]["connections"])

    def all_connections(self) -> list[dict[str, Any]]:
        """The connections authenticated now and the last 50 that have ended, oldest first."""
        feed = self.stats()["feeds"]["/stocks"]
        return sorted(
            (*feed["ended"], *feed["connections"]), key=lambda connection: int(connection["id"])
        )


def put_in_force(
    settings: Settings, *channels: str, accepted_at: str = "2026-11-22T00:00:00Z"
) -> None:
    """Publish an accepted subscription set, as the asset s3/subscriptions does."""
    text = "channel\n" + "\n".join(channels) + "\n"
    subscription_store.connect(settings).publish(
        accept(text, tuple(sorted(channels)), f"etag-{time.time_ns()}", accepted_at)
    )


def send(settings: Settings, topic: str, messages: Iterable[tuple[str, bytes]]) -> None:
    """Send (key, value) messages to a topic and wait until the broker has acknowledged them."""
    delivery = Delivery(settings)
    for key, value in messages:
        delivery.send_surely(topic, key.encode(), value)
    assert delivery.flush(30) == 0


def send_raw(settings: Settings, aggregates: Iterable[RawAggregate]) -> None:
    """Send aggregates to RAW_TOPIC."""
    send(settings, RAW_TOPIC, ((item.symbol, encode(item)) for item in aggregates))


def read_all(settings: Settings, topic: str) -> Iterator[Any]:
    """Every message of a topic, as kafka-python's records."""
    with KafkaReader.at(settings, 30) as reader:
        yield from reader.everything(topic)


def dead_letters(settings: Settings) -> list[DeadLetter]:
    """Every dead letter in the topic."""
    return [decode_dead_letter(record.value) for record in read_all(settings, DEAD_LETTER_TOPIC)]


def gaps(settings: Settings, since_ms: int = 0) -> list[Gap]:
    """Every gap in the ledger whose epoch began at or after `since_ms`."""
    ledger = [decode_gap(record.value) for record in read_all(settings, GAP_TOPIC)]
    return [gap for gap in ledger if gap.epoch >= since_ms]


def raw_aggregates(settings: Settings, since_us: int = 0) -> list[RawAggregate]:
    """Every message of RAW_TOPIC received at or after `since_us`, in the order of arrival."""
    messages = [decode_raw(record.value) for record in read_all(settings, RAW_TOPIC)]
    received = [item for item in messages if item.received_at >= since_us]
    return sorted(received, key=lambda item: item.received_at)


def beat(settings: Settings, program: str, since: dt.datetime | None = None) -> Heartbeat | None:
    """The newest heartbeat of a program, which was started at `since` or later."""
    last = heartbeats(settings).get(program)
    is_old = last is not None and since is not None and last.started_at < since.timestamp() * 1000
    return None if is_old else last


def connect_clickhouse(settings: Settings) -> Client:
    """A client for the tests' own queries."""
    return clickhouse.connect(settings)


def final_rows(client: Client, symbol: str) -> list[tuple[Any, ...]]:
    """Start in ms, close, volume, received in µs: a symbol's rows as a reader sees them."""
    query = """
        SELECT toUnixTimestamp64Milli(start_timestamp), close, toString(volume),
            toUnixTimestamp64Micro(received_at)
        FROM market.stock_aggregates FINAL WHERE symbol = {symbol:String} ORDER BY start_timestamp
    """
    return [tuple(row) for row in client.query(query, parameters={"symbol": symbol}).result_rows]
