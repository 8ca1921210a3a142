"""The full market for some minutes: simulated exchange, three programs, ClickHouse, one machine.

The soak shows whether rows are lost, how late they are, and what each process costs. The top speed
of a program belongs to `rounds`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.census import Census
from bench.data import ALL_TRADE_EACH_SECOND, FULL_MARKET_TICKERS, HOLD_US
from bench.latency import LatencyPoller, quantile
from polygon_assets.clients import clickhouse, subscription_store
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.local.launcher.ports import HOST
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.subscriptions import WILDCARD, accept

PROGRAMS = ("sink", "filter", "producer")
"""In the order of their start: readers first, so no message waits for its reader."""
POLL_SECONDS = 0.25
WARM_UP_SECONDS = 30.0
"""Meanwhile the exchange draws its first minutes and catches up; ClickHouse writes first parts."""
DRAIN_SECONDS = 60.0

EXCHANGE_OPTIONS = (
    *("--tickers", str(FULL_MARKET_TICKERS)),
    *("--activity", str(ALL_TRADE_EACH_SECOND)),
    # Each row once: a correction is late on purpose and would count as latency.
    *("--correction-rate", "0"),
    *("--duplicate-rate", "0"),
    # The exchange stalls while it draws a minute, then sends the overdue seconds at once. The large
    # buffer keeps its own stall from counting as a slow reader.
    *("--buffer-bytes", str(256 << 20)),
)

ROWS_PER_SECOND = """
    SELECT toUnixTimestamp(start_timestamp) AS second, uniqExact(symbol)
    FROM market.stock_aggregates GROUP BY second ORDER BY second
"""
RECEIVED_LATE = """
    SELECT quantilesExact(0.5, 0.99)(
        (toUnixTimestamp64Micro(received_at) - toUnixTimestamp64Micro(end_timestamp)
            - {hold_us:Int64}) / 1e6
    )
    FROM market.stock_aggregates WHERE received_at >= fromUnixTimestamp64Micro({since_us:Int64})
"""


@dataclass(frozen=True)
class Lateness:
    """Seconds, median and 99th percentile over rows."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Soak:
    """The results of one soak."""

    seconds: float
    events_sent: int
    forwarded: dict[str, int]
    """By program."""
    reconnects: int
    rows: int
    seconds_sent: int
    rows_per_second: int
    incomplete_seconds: int
    due_to_queryable: Lateness
    received_to_queryable: Lateness
    due_to_received: Lateness
    census: Census

    @property
    def lost(self) -> int:
        return self.events_sent - self.rows


def run(folder: Path, seconds: float, warm_up_seconds: float = WARM_UP_SECONDS) -> Soak:
    """Run everything; `seconds` are measured after the warm-up."""
    with (
        running_stack(folder, exchange_options=EXCHANGE_OPTIONS, fixed_ports=False) as stack,
        _programs(stack, folder) as programs,
    ):
        poller = LatencyPoller(clickhouse.connect(stack.settings()))
        _watch(poller, warm_up_seconds, None)
        since_us = time.time_ns() // 1000
        census = Census(
            {name: process.pid for name, process in programs.items()}
            | {name: stack.process(name).pid for name in stack.ports}
        )
        _watch(poller, seconds, census)
        _end(programs.pop("producer"))
        _drain(stack)
        for process in programs.values():
            _end(process)
        return _result(stack, poller, census, since_us)


@contextmanager
def _programs(stack: Stack, folder: Path) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    accepted = accept(f"channel\n{WILDCARD}\n", (WILDCARD,), "bench", "2026-01-01T00:00:00Z")
    subscription_store.connect(stack.settings()).publish(accepted)
    programs = {}
    try:
        for name in PROGRAMS:
            with (folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, "-m", "polygon_assets.cli", "stream", name]
                programs[name] = subprocess.Popen(
                    command, env=os.environ | stack.environment(), stdout=log, stderr=log
                )
        yield dict(programs)
    finally:
        for process in programs.values():
            process.kill()
            process.wait()


def _watch(poller: LatencyPoller, seconds: float, census: Census | None) -> None:
    """Poll for new rows; without a census (the warm-up) their latencies are not recorded."""
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        poller.poll(record=census is not None)
        if census and now - census.readings[-1].at >= 1.0:
            census.take()
        time.sleep(POLL_SECONDS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(DRAIN_SECONDS)


def _drain(stack: Stack) -> None:
    """Wait until filter and sink forwarded as much as the producer, at most DRAIN_SECONDS."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        forwarded = _counters(stack, "forwarded")
        if len(forwarded) == len(PROGRAMS) and len(set(forwarded.values())) == 1:
            return
        time.sleep(1.0)


def _counters(stack: Stack, name: str) -> dict[str, int]:
    return {
        str(program): beat.counters.get(name, 0)
        for program, beat in heartbeats(stack.settings()).items()
    }


def _result(stack: Stack, poller: LatencyPoller, census: Census, since_us: int) -> Soak:
    client = clickhouse.connect(stack.settings())
    per_second = {
        int(second): int(rows) for second, rows in client.query(ROWS_PER_SECOND).result_rows
    }
    received = client.query(
        RECEIVED_LATE, parameters={"hold_us": HOLD_US, "since_us": since_us}
    ).result_rows[0][0]
    client.close()
    whole = max(per_second.values())
    sent = range(min(per_second), max(per_second) + 1)
    # The producer's connection began and ended within the first and the last second.
    inner = [per_second.get(second, 0) for second in sent[1:-1]]
    return Soak(
        seconds=census.readings[-1].at - census.readings[0].at,
        events_sent=_stats(stack)["feeds"]["/stocks"]["events_sent"],
        forwarded=_counters(stack, "forwarded"),
        reconnects=_counters(stack, "reconnects")["producer"],
        rows=sum(per_second.values()),
        seconds_sent=len(sent),
        rows_per_second=whole,
        incomplete_seconds=sum(rows < whole for rows in inner),
        due_to_queryable=_lateness(poller.after_due),
        received_to_queryable=_lateness(poller.after_received),
        due_to_received=Lateness(*received),
        census=census,
    )


def _lateness(values: list[tuple[float, int]]) -> Lateness:
    return Lateness(quantile(values, 0.5), quantile(values, 0.99))


def _stats(stack: Stack) -> dict[str, Any]:
    connection = HTTPConnection(HOST, stack.ports["exchange"], timeout=10)
    connection.request("GET", "/control/stats")
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer
