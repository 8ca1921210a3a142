"""The embedded servers under a benchmark, emptied before each contender, and its processes.

Add what a contender needs to run here; the choice and order of contenders belong to `rounds`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from bench import data
from bench.measure import Measurement
from polygon_assets.clients import clickhouse, kafka, subscription_store
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.streaming.clickhouse_writer import TABLE
from polygon_assets.streaming.rows import to_table
from polygon_assets.subscriptions import WILDCARD, accept
from polygon_assets.topics import FILTERED_TOPIC, RAW_TOPIC

TOPICS = {"raw": RAW_TOPIC, "filtered": FILTERED_TOPIC}
TABLES = (TABLE, "market.stock_versions", "market.stock_recent", "market.stock_newest")
PATIENCE_SECONDS = 180
FIRST, BY_KEY = 0, -1
"""The first partition, and librdkafka's number for the choice by key."""


class ContenderFailedError(Exception):
    """A contender ended without a measurement, or could not start; the message shows why."""


@dataclass
class Running:
    """A contender's process; its first line is `ready`, its last line is the measurement."""

    process: subprocess.Popen[str]
    log: Path

    def wait_until_ready(self) -> None:
        if self._output.readline() != "ready\n":
            raise self._failure()

    def measurement(self) -> Measurement:
        """Wait for the process to end, and return its last line."""
        lines = self._output.read().splitlines()
        if self.process.wait() or not lines:
            raise self._failure()
        return msgspec.json.decode(lines[-1], type=Measurement)

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _failure(self) -> ContenderFailedError:
        return ContenderFailedError(
            f"{self.log.stem} printed no measurement; its log:\n{self.log.read_text()[-3000:]}"
        )


class Laboratory:
    """One stack and one set of events for all rounds."""

    def __init__(self, stack: Stack, folder: Path, events: int) -> None:
        self._stack = stack
        self._folder = folder
        self._settings = stack.settings()
        data.draw(folder, events)
        self._publish_everything()
        self._warm_up()

    def reset(self, topic: str, events: int, *, has_one_partition: bool = False) -> None:
        """Empty broker and tables, then send `events` messages of kind `topic`, if given."""
        self._stack.restart("kafka")
        client = clickhouse.connect(self._settings)
        for table in TABLES:
            client.command(f"TRUNCATE TABLE {table}")
        client.close()
        if topic:
            self._fill(topic, events, FIRST if has_one_partition else BY_KEY)

    @contextmanager
    def start(self, kind: str, name: str, events: int, **variables: str) -> Iterator[Running]:
        """Start a contender with the stack's environment; killed at the end of `with`."""
        arguments = ["-m", "bench.contenders", kind, name, str(self._folder), str(events)]
        with self._process(f"{kind}-{name}", arguments, variables) as running:
            yield running

    @contextmanager
    def feed(self, events: int) -> Iterator[str]:
        """Start a scripted vendor; yields its address."""
        port = free_port(0, set())
        with self._process(
            "feed", ["-m", "bench.feed", str(port), str(self._folder), str(events)], {}
        ) as running:
            running.wait_until_ready()
            yield f"ws://{HOST}:{port}/stocks"

    @contextmanager
    def _process(
        self, name: str, arguments: list[str], variables: dict[str, str]
    ) -> Iterator[Running]:
        log = self._folder / f"{name}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=os.environ
                | self._stack.environment()
                | {"POLYGON_API_KEY": "bench", "MARKET_CALENDAR": "24/7"}
                | variables,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        with process:
            try:
                yield Running(process, log)
            finally:
                process.kill()

    def _fill(self, topic: str, events: int, partition: int) -> None:
        producer = kafka.connect_producer(self._settings)
        for key, value in data.messages(self._folder, topic, events):
            producer.produce(TOPICS[topic], value, key, partition)
        if unsent := producer.flush(PATIENCE_SECONDS):
            raise ContenderFailedError(
                f"{TOPICS[topic]}: {unsent} of the {events} input messages were not acknowledged "
                f"within {PATIENCE_SECONDS} s; run the benchmark again on a quieter machine"
            )

    def _publish_everything(self) -> None:
        accepted = accept(f"channel\n{WILDCARD}\n", (WILDCARD,), "bench", "2026-01-01T00:00:00Z")
        subscription_store.connect(self._settings).publish(accepted)

    def _warm_up(self) -> None:
        """Insert once before measuring: ClickHouse's first insert takes a second or more."""
        values = [value for _, value in data.messages(self._folder, "filtered", 1_000)]
        client = clickhouse.connect(self._settings)
        client.insert_arrow(TABLE, to_table(values))
        client.close()


@contextmanager
def laboratory(folder: Path, events: int) -> Iterator[Laboratory]:
    """A running stack with the events of a benchmark."""
    with ExitStack() as cleanup:
        stack = cleanup.enter_context(
            running_stack(folder / "stack", only=("kafka", "clickhouse", "s3"), fixed_ports=False)
        )
        yield Laboratory(stack, folder, events)
