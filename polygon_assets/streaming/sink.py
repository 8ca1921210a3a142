"""The sink: FILTERED_TOPIC into `market.stock_aggregates`, committed after ClickHouse has the rows.

What the sink consists of belongs here; the insert belongs to `clickhouse_writer`, when to insert
(SINK_MAX_ROWS or SINK_MAX_AGE_SECONDS, whichever comes first) and commit to `batch_loop`, the
thread beside it to `dead_letter_loader`. A crash between insert and commit makes a second insert,
which changes nothing, because the table keeps the newest `received_at` of a key. ClickHouse's
official Kafka Connect sink replaces this program.
"""

import threading
from collections.abc import Sequence
from contextlib import closing

from confluent_kafka import Message

from polygon_assets.settings import Settings
from polygon_assets.streaming.batch_loop import BatchLoop, Limits
from polygon_assets.streaming.broker_loss import report_broker_loss
from polygon_assets.streaming.clickhouse_writer import ClickHouseWriter
from polygon_assets.streaming.consumer import TopicConsumer
from polygon_assets.streaming.dead_letter_loader import DeadLetterLoader
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.topics import FILTERED_TOPIC, SINK_GROUP


def run(settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
    """Load until `stop` is set."""
    delivery = Delivery(settings)
    writer = ClickHouseWriter(settings, publisher, delivery)
    limits = Limits(
        settings.sink_max_age_seconds,
        settings.drain_seconds,
        messages=settings.sink_max_rows,
        when_quiet=True,
    )

    def report_loss(first: Sequence[Message]) -> None:
        # The writer flushes this delivery before it returns, hence before the commit.
        report_broker_loss(settings, delivery, publisher, first)

    is_first = True

    def write(messages: Sequence[Message]) -> int:
        nonlocal is_first
        if is_first and consumer.is_new:
            writer.report_unstored(messages)
        is_first = False
        return writer.insert(messages)

    with (
        closing(TopicConsumer(settings, SINK_GROUP, FILTERED_TOPIC)) as consumer,
        DeadLetterLoader(settings) as letters,
    ):

        def watch_letters() -> None:
            letters.raise_error()
            if gauges := letters.counters():
                publisher.count_all({}, **gauges)

        loop = BatchLoop(publisher, consumer, write, limits, report_loss)
        loop.run(stop, watch_letters)
