"""A program's heartbeat: published to Kafka each second, and summarised in its log.

Add a number that every program reports here; a state or counter of one program belongs to that
program. When the program's loop hangs, the heartbeats stop, so that a hung program is recognised.
"""

import copy
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from polygon_assets.clients import kafka, kafka_access
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.health import kafka_problem
from polygon_assets.inspection.streams import instances
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import Heartbeat, ProgramName, ProgramState, encode, utc
from polygon_assets.settings import Settings
from polygon_assets.streaming.process_identity import this_process
from polygon_assets.topics import STATUS_TOPIC

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

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
        """Raises ProcessIdentityError."""
        now = _now_ms()
        self._settings = settings
        self.beat = Heartbeat(
            program,
            f"{this_process(settings)}:{now}",
            "starting",
            started_at=now,
            sent_at=now,
            counters={},
            # Several producers choose a leader first.
            is_standby=program == "producer" and settings.producer_copies > 1,
        )
        self.published = copy.copy(self.beat)
        """The last heartbeat as Kafka got it: nothing changes it, unlike `beat`."""
        self._log = logging.getLogger(program)
        # Its own producer: a full data queue must not delay the heartbeat that reports it.
        self._producer: Producer = kafka.connect_producer(
            settings,
            **{"message.timeout.ms": 5_000, "linger.ms": 0},
        )
        self._warned = ""
        self._ticked = time.monotonic()
        self._kafka_away_at = -math.inf
        """When Kafka was last found to acknowledge no heartbeat, monotonic."""
        self._forwarded: deque[int] = deque(maxlen=RATE_WINDOW_SECONDS + 1)
        self._totals: deque[tuple[int, int]] = deque([(0, 0)], maxlen=RECENT_SECONDS + 1)
        """Events read and refused in total, at each of the last heartbeats."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self, detail: str) -> None:
        """End the thread, and publish a last heartbeat with the state `stopped`."""
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

    def count_all(self, counts: Mapping[str, int], **gauges: int) -> None:
        """Add to several counters and set others (`gauges`) at once.

        One assignment: a heartbeat published meanwhile shows all changes or none, so that its
        account always adds up.
        """
        old = self.beat.counters
        grown = {name: old.get(name, 0) + number for name, number in counts.items() if number}
        self.beat.counters = {**old, **grown, **gauges}

    def refusal(self, reason: str) -> None:
        """Show the reason of the newest refusal in the heartbeat."""
        self.beat.last_refusal = reason[:LONGEST_REASON]

    def _run(self) -> None:
        self._count_restarts()
        next_log = time.monotonic() + LOG_SECONDS
        while not self._stopped.wait(BEAT_SECONDS):
            self._producer.poll(0)
            if self._is_hung(time.monotonic()):
                continue
            self._publish()
            if time.monotonic() >= next_log:
                self._log.info("%s", summary(self.beat))
                next_log = time.monotonic() + LOG_SECONDS

    def _is_hung(self, now: float) -> bool:
        """Whether the loop has not turned for too long, while Kafka acknowledged heartbeats.

        A commit waits as long as a broker that does not answer, and a restart would wait as well.
        """
        if kafka_problem(self.beat, utc(self.published.sent_at)):
            self._kafka_away_at = now
        return now - max(self._ticked, self._kafka_away_at) > HUNG_SECONDS

    def _on_delivery(
        self, sent_at: int, error: "KafkaError | None", _message: "Message | None"
    ) -> None:
        """Log a new reason once: without heartbeats nobody else can name it."""
        if error is None:
            self.beat.acknowledged_at = sent_at
            return
        reason = kafka_access.explain(self._settings, error, "WRITE", STATUS_TOPIC)
        if reason != self._warned:
            self._log.warning("a heartbeat was not delivered: %s", reason)
        self._warned = reason

    def _count_restarts(self) -> None:
        """Add one to the previous process's restarts, if it ran on this trading day."""
        settings, program = self._settings, self.beat.program
        try:
            beats = instances(settings, program, PREVIOUS_SECONDS)
        except KafkaUnreachableError:
            # The broker starts later than this process, so earlier restarts are unknown.
            return
        others = [beat for beat in beats if beat.instance != self.beat.instance]
        # Of several producers one leads, and a standby's heartbeats are not among these.
        copies = 1 if program == "producer" else settings.copies(program)
        self.beat.restarts = restarts_after(others, self.beat, calendar_of(settings), copies)

    def _publish(self) -> None:
        from confluent_kafka import KafkaException

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
        self.published = copy.copy(self.beat)
        report = partial(self._on_delivery, self.published.sent_at)
        try:
            self._producer.produce(STATUS_TOPIC, encode(self.published), key, on_delivery=report)
        except KafkaException as error:
            # The client does not ask the brokers while it knows that they would refuse it.
            report(error.args[0], None)
        self._producer.poll(0)


def summary(beat: Heartbeat) -> str:
    """One line for the log: state, rate, lag, counters."""
    counters = ", ".join(f"{name} {number:,}" for name, number in sorted(beat.counters.items()))
    channels = f", channels {beat.confirmed}/{beat.desired}" if beat.program == "producer" else ""
    lag = "-" if beat.lag is None else f"{beat.lag} messages"
    return f"{beat.state}: {beat.rate:,.0f}/s, lag {lag}{channels}, {counters or 'nothing yet'}"


def restarts_after(
    others: Collection[Heartbeat], beat: Heartbeat, calendar: MarketCalendar, copies: int = 1
) -> int:
    """How often a program was restarted on its trading day, by the other processes' heartbeats.

    With fewer of them on that day than `copies`, this start is one more copy's first.
    """
    day = calendar.day_of(utc(beat.started_at))
    of_day = [other for other in others if calendar.day_of(utc(other.sent_at)) == day]
    if len(of_day) < copies:
        return 0
    return max(of_day, key=lambda other: other.sent_at).restarts + 1


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
