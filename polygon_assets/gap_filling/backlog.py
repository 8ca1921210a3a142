"""How many messages wait before filter and sink: what a fill publishes waits behind them, and live
rows wait behind what it publishes.

Add what a fill yields to here; how fast it publishes at most is the setting
GAP_FILL_ROWS_PER_SECOND.
"""

from confluent_kafka import Consumer, TopicPartition

from polygon_assets.clients import kafka
from polygon_assets.settings import Settings
from polygon_assets.topics import READERS

ANSWER_SECONDS = 10.0


class Backlog:
    """Connections in the names of both groups, which join neither; close them at the end."""

    def __init__(self, settings: Settings) -> None:
        self._readers = [
            (kafka.connect_consumer(settings, group), topic)
            for group, topic in (READERS["filter"], READERS["sink"])
        ]

    def close(self) -> None:
        for consumer, _ in self._readers:
            consumer.close()

    def messages(self) -> int:
        """How many messages wait, by the committed offsets. Raises KafkaException."""
        return sum(_lag(consumer, topic) for consumer, topic in self._readers)


def _lag(consumer: Consumer, topic: str) -> int:
    known = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
    partitions = [TopicPartition(topic, number) for number in known.partitions]
    lag = 0
    for committed in consumer.committed(partitions, timeout=ANSWER_SECONDS):
        low, high = consumer.get_watermark_offsets(committed, timeout=ANSWER_SECONDS)
        lag += max(0, high - max(low, committed.offset))
    return lag
