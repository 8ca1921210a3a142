"""Intervals in which events may have been missed, as pure bookkeeping.

Add a rule about intervals here; noticing a loss and publishing its gap belongs to `intake`.
The vendor replays nothing and a second without trades has no bar, so a gap is not a hole in the
data: it is the time between the last event before a loss and the first event after it.
"""

import datetime as dt

from polygon_assets.events.validation import WINDOW_MS
from polygon_assets.market_calendar import ONE_DAY, MarketCalendar
from polygon_assets.messages import Gap, GapReason

LIVE_MS = 20 * 60 * 1000
"""Younger events are live, also on the cluster that is 15 minutes late; older ones are replayed."""


class GapTracker:
    """At most one gap is open at a time: a loss within a loss belongs to the first."""

    def __init__(self) -> None:
        self._open: Gap | None = None

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def lost(self, reason: GapReason, since_ms: int | None, epoch: int) -> None:
        """Events may be missing from `since_ms` on.

        None means that nothing had been received yet, so nothing can be missing.
        """
        if since_ms is None:
            return
        if self._open is None:
            self._open = Gap(f"{epoch}-{since_ms}", reason, since_ms, since_ms, epoch)
        # The earliest loss may be noticed last, and a dropped event may correct an old second.
        self._open.since = min(self._open.since, since_ms)

    def dropped(self, events: int, first_ms: int, last_ms: int, epoch: int) -> None:
        """`events` were dropped because the queue to Kafka was full."""
        self.lost("drop", first_ms, epoch)
        if self._open is not None:
            self._open.events_dropped += events
            self._open.until = max(self._open.until, last_ms)

    def recovered(self, until_ms: int) -> Gap | None:
        """Events arrive again, the newest ending at `until_ms`; returns the gap that this ends."""
        gap, self._open = self._open, None
        if gap is not None:
            gap.until = max(gap.until, until_ms)
        return gap


def overlaps_session(calendar: MarketCalendar, since: dt.datetime, until: dt.datetime) -> bool:
    """Whether the vendor sent anything of a session between the two: a loss at night loses nothing.

    After the close it sends the last seconds and, until `settled_at`, corrections. Those minutes
    are also longer than the time-out of a ping: a `since` that is late by it hides no loss of the
    session itself.
    """
    day = calendar.day_of(since)
    while day <= calendar.day_of(until):
        session = calendar.session(day)
        if session and session.extended_open < until and since < session.settled_at:
            return True
        day += ONE_DAY
    return False


def gap_end_ms(newest_ms: int, received_at_us: int) -> int:
    """Where a gap ends, in Unix milliseconds, once every channel is answered and events arrive.

    `newest_ms` is their newest start. They may be nothing but a correction of an old second, so the
    gap ends with their arrival; later seconds are still to come. In a replay, where wall time means
    nothing, it ends with their newest second.
    """
    received_ms, end_ms = received_at_us // 1000, newest_ms + WINDOW_MS
    return max(end_ms, received_ms) if received_ms - end_ms < LIVE_MS else end_ms
