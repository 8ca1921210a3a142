"""Reports the interval of messages that a broker acknowledged and then lost, as a gap.

Only the report belongs here; `consumer` notices the loss by the offsets. A broker without a copy
loses its log when it dies, and retention may delete messages before they are read.
"""

from polygon_assets.messages import Gap, encode
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.validation import WINDOW_MS
from polygon_assets.topics import GAP_TOPIC

UNKNOWN_MS = 15 * 60 * 1000
"""How far back the interval goes where this process had processed nothing before the loss."""


def report_broker_loss(
    delivery: Delivery, publisher: HeartbeatPublisher, newest_before: int | None
) -> None:
    """Publish the gap from the newest second processed before the loss to the newest one since.

    Times are Unix milliseconds. The fill looks back by the revision window, so partitions that were
    a little behind are covered. Call it after the first messages since the loss were processed.
    """
    beat = publisher.beat
    until = (beat.newest_event or beat.sent_at) + WINDOW_MS
    since = min(newest_before or until - UNKNOWN_MS, until)
    gap = Gap(f"{beat.program}-{since}", "broker", since, until, beat.epoch)
    publisher.count("gaps")
    delivery.send_eventually(GAP_TOPIC, gap.gap_id.encode(), encode(gap))
