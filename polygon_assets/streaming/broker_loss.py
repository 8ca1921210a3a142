"""Reports the interval of messages that a broker acknowledged and then lost, as a gap.

Only the report belongs here; `consumer` notices the loss by the offsets. A broker without a copy
loses its log when it dies, and retention may delete messages before they are read.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Message

from polygon_assets.events.validation import WINDOW_MS
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.messages import (
    UNREADABLE,
    Gap,
    Heartbeat,
    Stamps,
    clamped_utc,
    decode_stamps,
    encode,
)
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.gap_tracker import gap_end_ms
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.topics import GAP_TOPIC

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

UNKNOWN_MS = 15 * 60 * 1000
"""How far back the interval goes where it is not known what was processed before the loss."""
PREVIOUS_SECONDS = 5.0

_log = logging.getLogger("broker")


def report_broker_loss(
    settings: Settings, delivery: Delivery, publisher: HeartbeatPublisher, first: Sequence[Message]
) -> None:
    """Queue the gap from the newest second processed so far to the first messages since the loss.

    Call it before these messages are processed, and flush `delivery` before they are committed. The
    fill looks back by the revision window, so partitions that were a little behind are covered.
    """
    beat = publisher.beat
    ends = [gap_end_ms(stamps.start_timestamp, stamps.received_at) for stamps in _stamps(first)]
    until = max(ends, default=beat.sent_at)
    since = min([until, *(_newest_before(settings, beat) or [until - UNKNOWN_MS])])
    _queue(delivery, publisher, since, until)


def report_unstored(
    client: "Client", delivery: Delivery, publisher: HeartbeatPublisher, first: Sequence[Message]
) -> None:
    """Queue the gap of what was streamed before these messages and is not stored, if there is any.

    A broker that has lost the offsets too leaves nothing to notice a loss by, but ClickHouse has
    the producer's heartbeats. Call it before these messages are stored. Raises clickhouse_connect's
    errors.
    """
    beat = publisher.beat
    before = min((stamps.received_at // 1000 for stamps in _stamps(first)), default=beat.sent_at)
    query = client.query(load("unstored_seconds"), parameters={"before": clamped_utc(before)})
    [(oldest_streamed, streamed, stored)] = query.result_rows
    since = oldest_streamed if stored is None else stored
    if streamed is None or streamed <= since:
        return
    until = streamed + WINDOW_MS
    _log.error(
        "the broker lost its offsets, and the messages of the seconds from %s to %s with them",
        clamped_utc(since),
        clamped_utc(until),
    )
    _queue(delivery, publisher, since, until)


def _queue(delivery: Delivery, publisher: HeartbeatPublisher, since: int, until: int) -> None:
    beat = publisher.beat
    # Partitions may report losses that begin at the same second and end at others.
    gap = Gap(f"{beat.program}-{since}-{until}", "broker", since, until, beat.epoch)
    publisher.count("gaps")
    delivery.send_eventually(GAP_TOPIC, gap.gap_id.encode(), encode(gap))


def _newest_before(settings: Settings, beat: Heartbeat) -> list[int]:
    """The newest seconds that this process and the one before it had processed, if known.

    A new process may notice the loss in one partition after it has read another one to its end.
    """
    try:
        previous = heartbeats(settings, PREVIOUS_SECONDS, other_than=beat.instance)
    except KafkaUnreachableError:
        previous = {}
    beats = filter(None, (beat, previous.get(beat.program)))
    return [known.newest_event for known in beats if known.newest_event]


def _stamps(messages: Sequence[Message]) -> list[Stamps]:
    """The stamps of the messages that have any: an unreadable one becomes a dead letter later."""
    stamps = []
    for message in messages:
        try:
            stamps.append(decode_stamps(message.value() or b""))
        except UNREADABLE:
            continue
    return stamps
