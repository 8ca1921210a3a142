"""The full market for some minutes: simulated exchange, four programs, ClickHouse, one machine.

The soak shows whether rows are lost, how late they are, and what each process costs. The top speed
of a program belongs to `rounds`.
"""

import json
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.census import Census
from bench.data import HOLD_US
from bench.latency import LatencyPoller, quantile
from bench.live import DRAIN_SECONDS, PROGRAMS, Live, running, watch
from polygon_assets.clients import clickhouse
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.local.launcher.ports import HOST
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings

# FINAL instead of uniqExact, and TDigest instead of Exact: they take no memory for 43 million rows.
ROWS_PER_SECOND = """
    SELECT toUnixTimestamp(start_timestamp) AS second, count()
    FROM market.stock_aggregates FINAL GROUP BY second ORDER BY second
"""
RECEIVED_LATE = """
    SELECT quantilesTDigest(0.5, 0.99)(
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


def run(folder: Path, seconds: float, warm_up_seconds: float, kafka: str) -> Soak:
    """Run everything; `seconds` are measured after the warm-up."""
    with running(folder, kafka=kafka) as live:
        stack = live.stack
        poller = LatencyPoller(clickhouse.connect(stack.settings()))
        watch(poller, warm_up_seconds, record=False)
        since_us = time.time_ns() // 1000
        census = Census(
            {name: process.pid for name, process in live.programs.items()}
            | {name: stack.process(name).pid for name in stack.ports}
        )
        watch(poller, seconds, census=census)
        beats = _end(live)
        return _result(stack, poller, census, since_us, beats)


def _end(live: Live) -> dict[str, Heartbeat]:
    """End the programs, the writers first; returns the last heartbeat of each.

    It is read at once, because newer ones of other programs soon hide it.
    """
    settings = live.stack.settings()
    beats: dict[str, Heartbeat] = {}
    for name in reversed(PROGRAMS):
        if beats:
            _wait_until_forwarded(settings, name, _forwarded(beats["producer"]))
        live.end(name)
        beats[name] = heartbeats(settings)[name]
    return beats


def _wait_until_forwarded(settings: Settings, name: str, count: int) -> None:
    """Wait until a program has forwarded `count` events, at most DRAIN_SECONDS."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline and _forwarded(heartbeats(settings)[name]) < count:
        time.sleep(1.0)


def _forwarded(beat: Heartbeat) -> int:
    return beat.counters.get("forwarded", 0)


def _result(
    stack: Stack,
    poller: LatencyPoller,
    census: Census,
    since_us: int,
    beats: dict[str, Heartbeat],
) -> Soak:
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
        forwarded={name: _forwarded(beat) for name, beat in beats.items()},
        reconnects=beats["producer"].counters.get("reconnects", 0),
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
