"""A program's heartbeat: published to Kafka each second, and summarised in its log.

Add a number that every program reports here; a state or counter of one program belongs to that
program. When the program's loop hangs, the heartbeats stop, so that a hung program is recognised.
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
from polygon_assets.messages import Heartbeat, ProgramName, ProgramState, encode
from polygon_assets.settings import Settings
from polygon_assets.topics import STATUS_TOPIC

if TYPE_CHECKING:
    from confluent_kafka import Producer

BEAT_SECONDS = 1.0
LOG_SECONDS = 10.0
RATE_WINDOW_SECONDS = 10
HUNG_SECONDS = 20.0
"""Longer than any step of a loop: the longest one waits 15 s for the answer to an insert."""
RECENT_SECONDS = 300
"""Refusals of the last five minutes count for health: they show at once and soon vanish."""
LONGEST_REASON = 300
"""A reason quotes the rejected value, and a heartbeat must stay small."""
PREVIOUS_SECONDS = 3.0
"""The first heartbeat waits this long for the heartbeat of the previous process."""


class HeartbeatPublisher:
    """The heartbeat of a process: the loop writes `beat` and calls `tick`, a thread publishes."""

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
            # Several producers choose a leader first.
            is_standby=program == "producer" and settings.producer_copies > 1,
        )
        self._log = logging.getLogger(program)
        # Its own producer: a full data queue must not delay the heartbeat that reports it.
        self._producer: Producer = kafka.connect_producer(
            settings, **{"message.timeout.ms": 5_000, "linger.ms": 0}
        )
        self._ticked = time.monotonic()
        self._forwarded: deque[int] = deque(maxlen=RATE_WINDOW_SECONDS + 1)
        self._totals: deque[tuple[int, int]] = deque([(0, 0)], maxlen=RECENT_SECONDS + 1)
        """Events read and refused in total, at each of the last heartbeats."""
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
        """Called by the loop every few seconds at least while the program is healthy."""
        self._ticked = time.monotonic()

    def state(self, state: ProgramState, detail: str = "") -> None:
        """Set the state; a change is logged."""
        detail = self._settings.conceal(detail)
        if (state, detail) != (self.beat.state, self.beat.detail):
            self._log.info("%s%s", state, f": {detail}" if detail else "")
        self.beat.state, self.beat.detail = state, detail

    def count(self, counter: str, number: int = 1) -> None:
        """Add to a counter."""
        self.count_all({counter: number})

    def count_all(self, counts: Mapping[str, int], **levels: int) -> None:
        """Add to several counters and set others (`levels`) at once.

        One assignment: a heartbeat published meanwhile shows all changes or none, so that its
        account always adds up.
        """
        old = self.beat.counters
        grown = {name: old.get(name, 0) + number for name, number in counts.items() if number}
        self.beat.counters = {**old, **grown, **levels}

    def refusal(self, reason: str) -> None:
        """Show the reason of the newest refusal in the heartbeat."""
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
            # The broker starts later than this process, so earlier restarts are unknown.
            return
        if previous := beats.get(self.beat.program):
            self.beat.restarts = restarts_after(previous, self.beat, calendar_of(self._settings))

    def _publish(self) -> None:
        counters = self.beat.counters
        self._totals.append((counters.get("read", 0), counters.get("refused", 0)))
        (first_read, first_refused), (read, refused) = self._totals[0], self._totals[-1]
        self.beat.recent_read, self.beat.recent_refused = read - first_read, refused - first_refused
        self._forwarded.append(counters.get("forwarded", 0))
        self.beat.rate = round(
            (self._forwarded[-1] - self._forwarded[0]) / max(1, len(self._forwarded) - 1), 1
        )
        self.beat.sent_at = _now_ms()
        # The topic is compacted, and the leader's heartbeat must not vanish behind a standby's.
        standby = f":{self.beat.instance}" if self.beat.is_standby else ""
        key = f"{self.beat.program}{standby}"
        self._producer.produce(STATUS_TOPIC, encode(self.beat), key)
        self._producer.poll(0)


def summary(beat: Heartbeat) -> str:
    """One line for the log: state, rate, lag, counters."""
    counters = ", ".join(f"{name} {number:,}" for name, number in sorted(beat.counters.items()))
    channels = f", channels {beat.confirmed}/{beat.desired}" if beat.program == "producer" else ""
    lag = "-" if beat.lag is None else beat.lag
    return f"{beat.state}: {beat.rate:,.0f}/s, lag {lag}{channels}, {counters or 'nothing yet'}"


def restarts_after(previous: Heartbeat, beat: Heartbeat, calendar: MarketCalendar) -> int:
    """How often a program was restarted on its trading day, by the previous process's heartbeat."""
    days = [
        calendar.day_of(dt.datetime.fromtimestamp(ms / 1000, dt.UTC))
        for ms in (previous.sent_at, beat.started_at)
    ]
    return previous.restarts + 1 if days[0] == days[1] else 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
