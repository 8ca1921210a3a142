"""The simulated full market with the stream programs as processes; `soak` and `repair` measure it.

Add what a measurement of the running streams needs here.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.census import Census
from bench.data import ALL_TRADE_EACH_SECOND, FULL_MARKET_TICKERS
from bench.latency import LatencyPoller
from polygon_assets.clients import subscription_store
from polygon_assets.local.launcher.servers import EMBEDDED
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WILDCARD, accept

PROGRAMS = ("archiver", "sink", "filter", "producer")
"""In the order of their start: readers first, so no message waits for its reader."""
POLL_SECONDS = 0.25
WARM_UP_SECONDS = 90.0
"""Meanwhile the exchange sums its newest days, and ClickHouse writes its first parts."""
DRAIN_SECONDS = 60.0


def options(tickers: int) -> tuple[str, ...]:
    """The exchange's options: every ticker trades each second, and each row comes once."""
    return (
        *("--tickers", str(tickers)),
        *("--activity", str(ALL_TRADE_EACH_SECOND)),
        # A correction is late on purpose and would count as latency.
        *("--correction-rate", "0"),
        *("--duplicate-rate", "0"),
        # The exchange stalls while it draws a minute, then sends the overdue seconds at once. The
        # large buffer keeps its own stall from counting as a slow reader.
        *("--buffer-bytes", str(256 << 20)),
    )


@dataclass
class Live:
    """The running streams."""

    stack: Stack
    folder: Path
    programs: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a program."""
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "polygon_assets.cli", "stream", name]
            self.programs[name] = subprocess.Popen(
                command, env=os.environ | self.stack.environment(), stdout=log, stderr=log
            )

    def end(self, name: str) -> None:
        """Let a program deliver what it accepted, and wait for its end."""
        process = self.programs.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(DRAIN_SECONDS)

    def kill(self) -> None:
        """Kill the programs that still run."""
        for process in self.programs.values():
            process.kill()
            process.wait()


@contextmanager
def running(
    folder: Path, tickers: int = FULL_MARKET_TICKERS, kafka: str = EMBEDDED
) -> Iterator[Live]:
    """The full market, or another number of tickers, streaming."""
    with running_stack(
        folder, exchange_options=options(tickers), fixed_ports=False, kafka=kafka
    ) as stack:
        accept_everything(stack.settings())
        live = Live(stack, folder)
        try:
            for name in PROGRAMS:
                live.start(name)
            yield live
        finally:
            live.kill()


def accept_everything(settings: Settings) -> None:
    """Put `A.*` in force."""
    accepted = accept(f"channel\n{WILDCARD}\n", (WILDCARD,), "bench", "2026-01-01T00:00:00Z")
    subscription_store.connect(settings).publish(accepted)


def watch(
    poller: LatencyPoller,
    seconds: float,
    *,
    record: bool = True,
    census: Census | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Poll for new rows; without `record`, as during the warm-up, their latencies do not count.

    `pause` waits between two polls; a browser's own wait reads its messages meanwhile.
    """
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        poller.poll(record=record)
        if census and now - census.readings[-1].at >= 1.0:
            census.take()
        pause(POLL_SECONDS)
