"""The Kafka topics, consumer groups, rights and quotas, each declared once.

Add a topic here; its messages belong to `messages`. The embedded stack and `polygon-assets migrate`
create missing topics from these declarations; `polygon-assets topics` compares and applies all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from polygon_assets.settings import Settings
from polygon_assets.settings.kafka import DEFAULT_PARTITIONS

RAW_TOPIC = "polygon_stream_aggregates"
FILTERED_TOPIC = "custom_filtered_stock_data_topic"
DEAD_LETTER_TOPIC = "polygon_dead_letters"
STATUS_TOPIC = "polygon_stream_status"
GAP_TOPIC = "polygon_stream_gaps"
LEADER_TOPIC = "polygon_producer_leader"
"""Without messages: the producer that Kafka gives its one partition is the leader."""


@dataclass(frozen=True)
class Topic:
    """One topic, as the embedded stack and `polygon-assets migrate` create it."""

    name: str
    retention_days: int | None
    """None for a compacted topic, which keeps the newest message of each key forever."""
    partitions: int = DEFAULT_PARTITIONS

    @property
    def configs(self) -> dict[str, str]:
        """The broker's configuration of the topic."""
        if self.retention_days is None:
            return {"cleanup.policy": "compact"}
        milliseconds = self.retention_days * 24 * 60 * 60 * 1000
        return {"cleanup.policy": "delete", "retention.ms": str(milliseconds)}


TOPICS = (
    Topic(RAW_TOPIC, retention_days=7),
    Topic(FILTERED_TOPIC, retention_days=7),
    Topic(DEAD_LETTER_TOPIC, retention_days=30),
    Topic(STATUS_TOPIC, retention_days=None),
    Topic(GAP_TOPIC, retention_days=None),
    Topic(LEADER_TOPIC, retention_days=1, partitions=1),
)
SHARED_TOPICS = (RAW_TOPIC, FILTERED_TOPIC)
"""KAFKA_PARTITIONS says how many partitions they have, which the copies of their readers share."""


def declared(settings: Settings) -> tuple[Topic, ...]:
    """The topics as these settings want them."""
    return tuple(
        replace(topic, partitions=settings.kafka_partitions)
        if topic.name in SHARED_TOPICS
        else topic
        for topic in TOPICS
    )


PRODUCER_GROUP = "polygon_producer"
FILTER_GROUP = "polygon_filter"
SINK_GROUP = "clickhouse_sink"
DEAD_LETTER_GROUP = "clickhouse_dead_letters"
ARCHIVER_GROUP = "raw_archiver"

READERS = {
    "filter": (FILTER_GROUP, RAW_TOPIC),
    "sink": (SINK_GROUP, FILTERED_TOPIC),
    "archiver": (ARCHIVER_GROUP, RAW_TOPIC),
}
"""By program: its consumer group, and the topic that it must keep up with."""

Operation = Literal["READ", "WRITE", "CREATE", "DESCRIBE"]


@dataclass(frozen=True, order=True)
class Right:
    """An operation that Kafka must allow on a topic or on a group."""

    kind: Literal["topic", "group"]
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.operation} on {self.kind} {self.name}"


@dataclass(frozen=True)
class Role:
    """A user of Kafka: what it may do, and how fast, on each broker."""

    rights: tuple[Right, ...]
    write_bytes_per_second: int = 0
    read_bytes_per_second: int = 0

    @property
    def quotas(self) -> dict[str, float]:
        """The client quotas by Kafka's names; without those that do not limit."""
        quotas = {
            "producer_byte_rate": float(self.write_bytes_per_second),
            "consumer_byte_rate": float(self.read_bytes_per_second),
        }
        return {name: value for name, value in quotas.items() if value}


def _on_topics(operation: Operation, *names: str) -> tuple[Right, ...]:
    return tuple(Right("topic", name, operation) for name in names)


def _on_groups(operation: Operation, *names: str) -> tuple[Right, ...]:
    return tuple(Right("group", name, operation) for name in names)


_ALL = tuple(topic.name for topic in TOPICS)
_EACH_PROGRAM = _on_topics("READ", STATUS_TOPIC) + _on_topics("WRITE", STATUS_TOPIC)
"""A program publishes heartbeats, and reads the last one of the process before it."""
_MIB = 1024 * 1024
LIVE_BYTES, CATCH_UP_BYTES = 24 * _MIB, 100 * _MIB
"""The whole market is 12,000 messages a second (bench/RESULTS.md) of 200 compressed bytes
(costs/quantities.py), 2.3 MiB, and a quota stops only what is ten times as much. A program that
catches up reads up to 219,000 messages of 220 bytes a second on one core, 46 MiB."""

ROLES: Mapping[str, Role] = {
    "producer": Role(
        _EACH_PROGRAM
        + _on_topics("WRITE", RAW_TOPIC, GAP_TOPIC, DEAD_LETTER_TOPIC)
        + _on_topics("READ", LEADER_TOPIC)
        + _on_groups("READ", PRODUCER_GROUP),
        write_bytes_per_second=LIVE_BYTES,
    ),
    "filter": Role(
        _EACH_PROGRAM
        + _on_topics("READ", RAW_TOPIC)
        + _on_topics("WRITE", FILTERED_TOPIC, DEAD_LETTER_TOPIC, GAP_TOPIC)
        + _on_groups("READ", FILTER_GROUP),
        write_bytes_per_second=CATCH_UP_BYTES,
        read_bytes_per_second=CATCH_UP_BYTES,
    ),
    "sink": Role(
        _EACH_PROGRAM
        + _on_topics("READ", FILTERED_TOPIC, DEAD_LETTER_TOPIC)
        + _on_topics("WRITE", DEAD_LETTER_TOPIC, GAP_TOPIC)
        + _on_groups("READ", SINK_GROUP, DEAD_LETTER_GROUP),
        read_bytes_per_second=CATCH_UP_BYTES,
    ),
    "archiver": Role(
        _EACH_PROGRAM + _on_topics("READ", RAW_TOPIC) + _on_groups("READ", ARCHIVER_GROUP),
        read_bytes_per_second=CATCH_UP_BYTES,
    ),
    # The graph: reads for its checks and the ledger, fills gaps, replays dead letters.
    "dagster": Role(
        _on_topics("READ", RAW_TOPIC, FILTERED_TOPIC, DEAD_LETTER_TOPIC, STATUS_TOPIC, GAP_TOPIC)
        + _on_topics("WRITE", RAW_TOPIC, FILTERED_TOPIC)
        + _on_topics("DESCRIBE", LEADER_TOPIC)
        + _on_groups("DESCRIBE", FILTER_GROUP, SINK_GROUP, ARCHIVER_GROUP),
        write_bytes_per_second=LIVE_BYTES,
        read_bytes_per_second=LIVE_BYTES,
    ),
    # Whoever runs `polygon-assets migrate`.
    "migrate": Role(_on_topics("CREATE", *_ALL) + _on_topics("DESCRIBE", *_ALL)),
}
"""By role, what its Kafka user needs. READ and WRITE include DESCRIBE."""
