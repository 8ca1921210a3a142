"""The Kafka topics and consumer groups, each declared once: name, partitions, retention.

Add a topic here; its messages belong to `messages`. The embedded stack and `polygon-assets migrate`
create topics from these declarations.
"""

from dataclasses import dataclass

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
    partitions: int = 6
    """Enough for parallel consumers, and few enough for a small broker."""

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

PRODUCER_GROUP = "polygon_producer"
FILTER_GROUP = "polygon_filter"
SINK_GROUP = "clickhouse_sink"
DEAD_LETTER_GROUP = "clickhouse_dead_letters"
ARCHIVER_GROUP = "raw_archiver"
