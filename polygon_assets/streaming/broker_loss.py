"""Reports the interval of messages that a broker acknowledged and then lost, as a gap.

Only the report belongs here; `consumer` notices the loss by the offsets. A broker without a copy
loses its log when it dies, and retention may delete messages before they are read.
"""

from collections.abc import Sequence

from confluent_kafka import Message

from polygon_assets.messages import UNREADABLE, Gap, Stamps, decode_stamps, encode
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.gap_tracker import gap_end_ms
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.topics import GAP_TOPIC

UNKNOWN_MS = 15 * 60 * 1000
"""How far back the interval goes where this process had processed nothing before the loss."""


def report_broker_loss(
    delivery: Delivery, publisher: HeartbeatPublisher, first: Sequence[Message]
) -> None:
    """Queue the gap from the newest second processed so far to the first messages since the loss.

    Call it before these messages are processed, and flush `delivery` before they are committed. The
    fill looks back by the revision window, so partitions that were a little behind are covered.
    """
    beat = publisher.beat
    ends = [gap_end_ms(stamps.start_timestamp, stamps.received_at) for stamps in _stamps(first)]
    until = max(ends, default=beat.sent_at)
    since = min(beat.newest_event or until - UNKNOWN_MS, until)
    gap = Gap(f"{beat.program}-{since}", "broker", since, until, beat.epoch)
    publisher.count("gaps")
    delivery.send_eventually(GAP_TOPIC, gap.gap_id.encode(), encode(gap))


def _stamps(messages: Sequence[Message]) -> list[Stamps]:
    """The stamps of the messages that have any: an unreadable one becomes a dead letter later."""
    stamps = []
    for message in messages:
        try:
            stamps.append(decode_stamps(message.value() or b""))
        except UNREADABLE:
            continue
    return stamps
