"""How long the market is unseen when the leader dies or hangs, until the standby's first row.

Only the measurement belongs here; how a leader is chosen belongs to `streaming.leadership`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from polygon_assets.clients import subscription_store
from polygon_assets.inspection.streams import heartbeats, standbys
from polygon_assets.local.launcher.stack import running_stack
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WILDCARD, accept

FAULTS = {"kill -9": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP}
EXCHANGE_OPTIONS = ("--tickers", "200", "--activity", "50")
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
FRESH_MS = 2_500


def run(folder: Path, times: int, kafka: str, fault: str) -> Iterator[float]:
    """Yield the seconds from each fault of the leader until the standby has streamed an event."""
    with running_stack(
        folder,
        only=("exchange", "kafka", "s3"),
        exchange_options=EXCHANGE_OPTIONS,
        fixed_ports=False,
        kafka=kafka,
    ) as stack:
        settings = stack.settings()
        csv = f"channel\n{WILDCARD}\n"
        accepted = accept(csv, (WILDCARD,), "bench", "2026-01-01T00:00:00+00:00")
        subscription_store.connect(settings).publish(accepted)
        environment = os.environ | stack.environment() | {"PRODUCER_COPIES": "2"}
        copies = [_start(folder, environment)]
        try:
            _streams(settings, copies[0].pid)
            for _ in range(times):
                copies.append(_start(folder, environment))
                leader, standby = copies
                _stands_by(settings, standby.pid)
                struck_at = time.time()
                leader.send_signal(FAULTS[fault])
                _streams(settings, standby.pid)
                yield time.time() - struck_at
                leader.kill()
                leader.wait()
                copies.remove(leader)
        finally:
            for copy in copies:
                copy.kill()
                copy.wait()


def _start(folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    with (folder / "producers.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "polygon_assets.cli", "stream", "producer"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _streams(settings: Settings, pid: int) -> None:
    """Wait until a process has delivered an event."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        beat = heartbeats(settings).get("producer")
        if beat and f":{pid}:" in beat.instance and beat.counters.get("forwarded"):
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"producer {pid} does not stream within {PATIENCE_SECONDS:.0f} s")


def _stands_by(settings: Settings, pid: int) -> None:
    """Wait until a process is a standby whose heartbeats arrive."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        oldest_ms = time.time_ns() // 1_000_000 - FRESH_MS
        beats = standbys(settings).values()
        if any(f":{pid}:" in beat.instance and beat.sent_at > oldest_ms for beat in beats):
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"producer {pid} is no standby within {PATIENCE_SECONDS:.0f} s")
