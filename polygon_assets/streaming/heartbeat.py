"""What a stream program says of itself: a heartbeat a second to Kafka, a log line per change of state or 10 seconds.

The thread here only reports. If the program's loop stops turning, the heartbeats stop, so that a hung program is seen as one.
"""

import datetime as dt
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from polygon_assets.clients import kafka
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import STATUS_TOPIC, Heartbeat, ProgramName, ProgramState, encode
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Producer

BEAT_SECONDS = 1.0
LOG_SECONDS = 10.0
RATE_WINDOW_SECONDS = 10
HUNG_SECONDS = 20.0
"""Longer than any single step of a loop may take: the longest is one insert, whose answer is awaited for 15 s."""
RECENT_SECONDS = 300
"""Refusals of the last five minutes count for health: seen at once, and forgotten soon after the cure."""
LONGEST_REASON = 300
"""A reason quotes the value it blames, and a heartbeat has to stay small."""
PREVIOUS_SECONDS = 3.0
"""How long the previous process's heartbeat is looked for; the first heartbeat of this one waits for it."""


class HeartbeatPublisher:
    """The one heartbeat of a process. The loop writes `beat` and calls `tick`; a thread publishes."""

    def __init__(self, program: ProgramName, settings: Settings) -> None:
        now = _now_ms()
        self._settings = settings
        self.beat = Heartbeat(
            program,
            f"{socket.gethostname()}:{os.getpid()}:{now}",
            "starting",
            started_at=now,
            sent_at=now,
            counters={},
        )
        self._log = logging.getLogger(program)
        # A producer of its own: a full data queue must not hold back the news that it is full.
        self._producer: Producer = kafka.connect_producer(
            settings, **{"message.timeout.ms": 5_000, "linger.ms": 0}
        )
        self._ticked = time.monotonic()
        self._forwarded: deque[int] = deque(maxlen=RATE_WINDOW_SECONDS + 1)
        self._judged: deque[tuple[int, int]] = deque([(0, 0)], maxlen=RECENT_SECONDS + 1)
        """Events read and refused until each of the last heartbeats."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

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
        self.count_all({counter: number})

    def count_all(self, counts: Mapping[str, int], **held: int) -> None:
        """Add to several counters and set others (`held`) at once.

        One assignment: a heartbeat that is published meanwhile shows all of it or nothing, so that
        its account is never half an entry.
        """
        old = self.beat.counters
        grown = {name: old.get(name, 0) + number for name, number in counts.items() if number}
        self.beat.counters = {**old, **grown, **held}

    def refusal(self, reason: str) -> None:
        """Keep the reason of the newest refusal where people look."""
        self.beat.last_refusal = reason[:LONGEST_REASON]

    def _run(self) -> None:
        self._count_restarts()
        next_log = time.monotonic() + LOG_SECONDS
        while not self._stopped.wait(BEAT_SECONDS):
            if time.monotonic() - self._ticked > HUNG_SECONDS:
                continue
            self._publish()
            if time.monotonic() >= next_log:
                self._log.info("%s", summary(self.beat))
                next_log = time.monotonic() + LOG_SECONDS

    def _count_restarts(self) -> None:
        """Add one to the previous process's restarts, if it ran on this trading day."""
        try:
            beats = heartbeats(self._settings, PREVIOUS_SECONDS, other_than=self.beat.instance)
        except KafkaUnreachableError:
            return  # the broker starts later than this process: how often it was restarted before is not known
        if previous := beats.get(self.beat.program):
            self.beat.restarts = restarts_after(previous, self.beat, calendar_of(self._settings))

    def _publish(self) -> None:
        counters = self.beat.counters
        self._judged.append((counters.get("read", 0), counters.get("refused", 0)))
        (first_read, first_refused), (read, refused) = self._judged[0], self._judged[-1]
        self.beat.recent_read, self.beat.recent_refused = read - first_read, refused - first_refused
        self._forwarded.append(counters.get("forwarded", 0))
        self.beat.rate = round(
            (self._forwarded[-1] - self._forwarded[0]) / max(1, len(self._forwarded) - 1), 1
        )
        self.beat.sent_at = _now_ms()
        self._producer.produce(STATUS_TOPIC, encode(self.beat), self.beat.program)
        self._producer.poll(0)


def summary(beat: Heartbeat) -> str:
    """One line for the log: state, rate, lag, counters."""
    counters = ", ".join(f"{name} {number:,}" for name, number in sorted(beat.counters.items()))
    channels = f", channels {beat.confirmed}/{beat.desired}" if beat.program == "producer" else ""
    return f"{beat.state}: {beat.rate:,.0f}/s, lag {beat.lag if beat.lag is not None else '-'}{channels}, {counters or 'nothing yet'}"


def restarts_after(previous: Heartbeat, beat: Heartbeat, calendar: MarketCalendar) -> int:
    """How often a program was started again on its trading day, by the last heartbeat of the process before it."""
    days = [
        calendar.day_of(dt.datetime.fromtimestamp(ms / 1000, dt.UTC))
        for ms in (previous.sent_at, beat.started_at)
    ]
    return previous.restarts + 1 if days[0] == days[1] else 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
