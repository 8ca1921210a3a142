"""Which of several producers may hold the account's one connection: the leader.

Add a rule about taking or giving up the lead here; what a leader does belongs to `producer`. The
copies are a consumer group on a topic of one partition: whoever has the partition leads, so Kafka
detects the death of a leader, and there is no lock of our own.
"""

import json
import logging
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from polygon_assets.clients import kafka, kafka_access
from polygon_assets.settings import Settings
from polygon_assets.streaming.consumer import JOIN_SECONDS
from polygon_assets.topics import LEADER_TOPIC, PRODUCER_GROUP

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

HEARTBEAT_SECONDS = 0.5
"""A standby learns of its promotion with a heartbeat."""
KNOWN_SECONDS = 2.5 * HEARTBEAT_SECONDS
"""A heartbeat, the statistics after it, and a margin."""
REBALANCE_SECONDS = 2 * JOIN_SECONDS
"""A member that comes back makes two rebalances: the partition is taken away, then assigned."""
SLEPT_SECONDS = 2.0
"""Another copy may lead after a longer sleep or loss of the network, because the heartbeats before
it may have been late on a busy machine."""
POLL_SECONDS = 0.1
"""A question of `confirm` waits at most this long for the thread's poll to return."""
CONFIRM_SECONDS, CONFIRM_SHARE = 5.0, 0.8
"""The longest wait for an answer, and its share of a session, after which another copy may lead."""
STOP_SECONDS = 5.0
"""For the thread to end its poll. Without it the consumer is closed all the same."""

_log = logging.getLogger("leadership")


class SleepDetector:
    """Notices that this process did not run for a while: stopped, or the machine was asleep."""

    def __init__(self) -> None:
        self._measured_at = _boot_seconds()
        self._longest = 0.0

    def measure(self) -> None:
        """Take the time since the last call; call it often."""
        now = _boot_seconds()
        self._longest = max(self._longest, now - self._measured_at)
        self._measured_at = now

    def longest(self) -> float:
        """Seconds of the longest sleep since the last question."""
        self.measure()
        longest, self._longest = self._longest, 0.0
        return longest


def _boot_seconds() -> float:
    """A clock that goes on while the machine sleeps, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leadership:
    """The membership of this copy; entered, a thread keeps it up.

    A leader that loses sight of Kafka keeps its connection to the vendor, because nobody may have
    replaced it; it opens no new one until Kafka confirms that it still leads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.session_seconds = settings.leader_session_seconds
        self._leads = False
        self.term = 0
        """Grows whenever the lead is lost: another copy may have led since."""
        self.problem = ""
        """Why the leader cannot be determined; empty while it can."""
        self._is_unreachable = False
        """Whether the problem ends when Kafka is heard again."""
        self._error: Exception | None = None
        self.is_replaced = False
        """Whether Kafka has given the lead to another copy, or to none yet."""
        self._is_asked, self._answer = threading.Event(), threading.Event()
        self._is_to_rejoin = False
        self._is_confirmed = False
        self._is_joining = True
        self._leaving_since = 0.0
        """When this copy was first asked whether it may leave, monotonic; 0 before that."""
        self.silence = 0.0
        """Seconds for which Kafka has sent nothing, as of the newest statistics."""
        self._longest_silence = 0.0
        self._stopped = threading.Event()
        self._consumer: Consumer = kafka.connect_consumer(
            settings,
            PRODUCER_GROUP,
            **{
                "session.timeout.ms": round(self.session_seconds * 1000),
                "heartbeat.interval.ms": round(HEARTBEAT_SECONDS * 1000),
                "error_cb": self._on_error,
                "on_commit": self._on_commit,
                "stats_cb": self._on_statistics,
                "statistics.interval.ms": round(HEARTBEAT_SECONDS * 1000),
                # A new copy must not move the lead.
                "partition.assignment.strategy": "cooperative-sticky",
            },
        )
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)

    def __enter__(self) -> Self:
        self._subscribe()
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Leave the group: the standby need not wait for the end of the session."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)
        self._consumer.close()

    def may_leave(self) -> bool:
        """Whether this copy can leave without a rebalance under way. Ask until it may.

        When a member leaves during a rebalance, the embedded broker never admits anyone to the
        group again. The next heartbeat tells a member of a rebalance, and the statistics after it
        show that; so the first answers are no.
        """
        now = time.monotonic()
        self._leaving_since = self._leaving_since or now
        waited = now - self._leaving_since
        return waited >= KNOWN_SECONDS and (not self._is_joining or waited >= REBALANCE_SECONDS)

    def confirm(self) -> bool:
        """Ask Kafka whether this copy leads now, and wait for the answer.

        Raises the error that ended the thread.

        Kafka refuses the commit of a member that it has replaced, even before that member
        has noticed.
        """
        if self._error is not None:
            raise self._error
        if not self._leads:
            return False
        self._answer.clear()
        self._is_confirmed = False
        self._is_asked.set()
        self._answer.wait(min(CONFIRM_SECONDS, CONFIRM_SHARE * self.session_seconds))
        return self._is_confirmed and self._leads

    def rejoin(self) -> None:
        """Leave the group and join it as a new member, because this one was away for a session.

        The embedded broker takes the old member back, although another one leads by now.
        """
        self._leads, self.is_replaced = False, True
        self.term += 1
        # Not known until the next statistics, which come after the client has heard from Kafka.
        self._is_joining = True
        self._is_to_rejoin = True

    def longest_silence(self) -> float:
        """Seconds of the longest time since the last question in which Kafka sent nothing."""
        longest, self._longest_silence = self._longest_silence, 0.0
        return longest

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None and (error := message.error()):
                    self._on_error(error)
                if self._is_asked.is_set():
                    self._is_asked.clear()
                    self._ask()
                # See may_leave: nobody leaves while joining.
                if self._is_to_rejoin and not self._is_joining:
                    self._is_to_rejoin = False
                    self._consumer.unsubscribe()
                    self._subscribe()
        except Exception as error:  # noqa: BLE001  # confirm() raises it in its caller's thread
            self._error = error

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [LEADER_TOPIC],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _on_error(self, error: "KafkaError") -> None:
        """As for a missing topic or right: without it, every copy would stand by for ever."""
        problem = kafka_access.explain(self._settings, error, "READ", LEADER_TOPIC, PRODUCER_GROUP)
        if self.problem != problem:
            _log.warning("the leader cannot be determined: %s", problem)
        self.problem = problem
        self._is_unreachable = error.code() in kafka_access.UNREACHABLE

    def _ask(self) -> None:
        """Commit without waiting: a commit that waits in another thread than `poll` hangs."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            self._consumer.commit(offsets=[TopicPartition(LEADER_TOPIC, 0, 1)], asynchronous=True)
        except KafkaException as error:
            _log.warning("Kafka cannot be asked whether this copy leads: %s", error)
            self._answer.set()

    def _on_commit(
        self, error: "KafkaError | None", partitions: "list[TopicPartition] | None"
    ) -> None:
        error = error or next((part.error for part in partitions or [] if part.error), None)
        if error:
            _log.warning("Kafka does not confirm that this copy leads: %s", error)
        self._is_confirmed = error is None
        self._answer.set()

    def _on_statistics(self, statistics: str) -> None:
        facts = json.loads(statistics)
        self._is_joining = facts.get("cgrp", {}).get("join_state") != "steady"
        # Microseconds since a broker last sent something, -1 before that.
        idle = [broker["rxidle"] for broker in facts["brokers"].values() if broker["rxidle"] >= 0]
        self.silence = min(idle, default=0) / 1e6
        self._longest_silence = max(self._longest_silence, self.silence)
        if self._is_unreachable and not self._is_joining and self.silence < SLEPT_SECONDS:
            self._is_unreachable, self.problem = False, ""

    def _on_assign(self, _consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        self.problem = ""
        if partitions:
            _log.info("this copy leads")
            self._leads, self.is_replaced, self._is_to_rejoin = True, False, False
        elif not self._leads:
            self.is_replaced = True

    def _on_revoke(self, _consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        if partitions:
            _log.info("another copy leads")
            self._leads, self.is_replaced = False, True
            self.term += 1

    def _on_lost(self, _consumer: "Consumer", _partitions: "list[TopicPartition]") -> None:
        _log.warning("no group heartbeat of this copy reached Kafka; another copy may lead")
        self._leads = False
        self.term += 1
