"""What a stream program says of itself: a heartbeat a second to Kafka, a log line per change of state or 10 seconds.

The thread here only reports. If the program's loop stops turning, the heartbeats stop, so that a hung program is seen as one.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from polygon_assets.clients import kafka
from polygon_assets.messages import STATUS_TOPIC, Heartbeat, ProgramName, ProgramState, encode
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Producer

BEAT_SECONDS = 1.0
LOG_SECONDS = 10.0
RATE_WINDOW_SECONDS = 10
HUNG_SECONDS = 20.0
"""Longer than any single step of a loop may take: the longest is one insert, whose answer is awaited for 15 s."""


class Pulse:
    """The one heartbeat of a process. The loop writes `beat` and calls `tick`; a thread publishes."""

    def __init__(self, program: ProgramName, settings: Settings) -> None:
        now = _now_ms()
        self.beat = Heartbeat(program, f"{socket.gethostname()}:{os.getpid()}:{now}", "starting", started_at=now, sent_at=now, counters={})
        self._log = logging.getLogger(program)
        # A producer of its own: a full data queue must not hold back the news that it is full.
        self._producer: Producer = kafka.connect_producer(settings, **{"message.timeout.ms": 5_000, "linger.ms": 0})
        self._ticked = time.monotonic()
        self._forwarded: deque[int] = deque(maxlen=RATE_WINDOW_SECONDS + 1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self, detail: str) -> None:
        """Publish the last heartbeat, of state `stopped`, and end the thread."""
        self.state("stopped", detail)
        self._stopped.set()
        self._thread.join()
        self._publish()
        self._producer.flush(3)

    def tick(self) -> None:
        """The loop has turned: called at least once a few seconds while the program is healthy."""
        self._ticked = time.monotonic()

    def state(self, state: ProgramState, detail: str = "") -> None:
        """Set the state; a change is logged."""
        if (state, detail) != (self.beat.state, self.beat.detail):
            self._log.info("%s%s", state, f": {detail}" if detail else "")
        self.beat.state, self.beat.detail = state, detail

    def count(self, counter: str, number: int = 1) -> None:
        """Add to a counter."""
        self.beat.counters[counter] = self.beat.counters.get(counter, 0) + number

    def _run(self) -> None:
        next_log = time.monotonic() + LOG_SECONDS
        while not self._stopped.wait(BEAT_SECONDS):
            if time.monotonic() - self._ticked > HUNG_SECONDS:
                continue
            self._publish()
            if time.monotonic() >= next_log:
                self._log.info("%s", summary(self.beat))
                next_log = time.monotonic() + LOG_SECONDS

    def _publish(self) -> None:
        self._forwarded.append(self.beat.counters.get("forwarded", 0))
        self.beat.rate = round((self._forwarded[-1] - self._forwarded[0]) / max(1, len(self._forwarded) - 1), 1)
        self.beat.sent_at = _now_ms()
        self._producer.produce(STATUS_TOPIC, encode(self.beat), self.beat.program)
        self._producer.poll(0)


def summary(beat: Heartbeat) -> str:
    """One line for the log: state, rate, lag, counters."""
    counters = ", ".join(f"{name} {number:,}" for name, number in sorted(beat.counters.items()))
    channels = f", channels {beat.confirmed}/{beat.desired}" if beat.program == "producer" else ""
    return f"{beat.state}: {beat.rate:,.0f}/s, lag {beat.lag if beat.lag is not None else '-'}{channels}, {counters or 'nothing yet'}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
