"""The day of each channel: when it traded, when it was proved quiet, and when nobody knows.

Add a rule about single channels here; what concerns all of them belongs to `trust`. Pure functions.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from polygon_assets.gap_filling.coverage import Interval, without
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.page.candles import Columns
from polygon_assets.page.trust import BARS, Rows, add_bar, add_gap, is_of_all, merged
from polygon_assets.serving.gap_ledger import concerns

FIVE_MINUTES = dt.timedelta(minutes=5)
SHOWN_SILENT = 10


@dataclass(frozen=True)
class Activity:
    """When the subscribed channels traded today."""

    intervals: Mapping[str, Sequence[dt.datetime]]
    """The starts of the five minutes with trades, by channel: those without a trade, then the
    busiest. With `A.*`, which names no channel, only the busiest."""
    since: Mapping[str, dt.datetime]
    """From when on each channel was subscribed without a break."""
    channels: int
    known_until: dt.datetime | None
    """What is younger may not be in the one-minute bars yet; None before their first filling."""

    @property
    def silent(self) -> list[str]:
        """The channels without a trade."""
        return [channel for channel, starts in self.intervals.items() if not starts]

    @property
    def shown(self) -> list[str]:
        """The channels that have a line: some of the silent ones, and all others."""
        left_out = set(self.silent[SHOWN_SILENT:])
        return [channel for channel in self.intervals if channel not in left_out]


def subscribed_since(sets: Rows, opened: dt.datetime) -> dict[str, dt.datetime]:
    """The channels in force now, and from when on each was in every set; `sets` oldest first."""
    since: dict[str, dt.datetime] = {}
    for accepted in sets:
        begin = max(accepted["accepted_at"], opened)
        since = {channel: since.get(channel, begin) for channel in accepted["channels"]}
    return since


def channel_timeline(
    activity: Activity, covered: Sequence[Interval], gaps: Rows, session: Interval
) -> Columns:
    """A line for each channel: traded or proved quiet by five minutes, and the common gaps above.

    What is younger than the one-minute bars is left out, because nobody knows yet whether a channel
    traded, and so is the time before a channel was subscribed.
    """
    bars: Columns = {name: [] for name in BARS}
    if activity.known_until is None:
        return bars
    until = min(activity.known_until, session.until)
    proved = list(merged(covered))
    common = [gap for gap in gaps if is_of_all(gap)]
    for channel in activity.shown:
        traded = list(merged(_five_minutes(activity.intervals[channel])))
        for part in _within(Interval(activity.since[channel], until), proved):
            quiet = list(without(part, traded))
            for piece in without(part, quiet):
                add_bar(bars, channel, piece, "streamed", "traded, by five minutes")
            for piece in quiet:
                add_bar(bars, channel, piece, "quiet", "no trade while the stream was complete")
        for gap in common:
            if concerns(gap["channels"], channel):
                add_gap(bars, channel, gap, session)
    return bars


def _five_minutes(starts: Iterable[dt.datetime]) -> Iterator[Interval]:
    return (Interval(start, start + FIVE_MINUTES) for start in starts)


def _within(whole: Interval, parts: Iterable[Interval]) -> Iterator[Interval]:
    """The pieces of `parts` that lie in an interval."""
    for part in parts:
        piece = Interval(max(part.since, whole.since), min(part.until, whole.until))
        if piece.since < piece.until:
            yield piece


def silent_line(activity: Activity) -> str:
    """How many channels the figure shows, and which had not traded at all until when."""
    if activity.known_until is None:
        return "single channels are known after the first one-minute bars of the day"
    text = f"{len(activity.shown):,} of {activity.channels:,} channels"
    if not (silent := activity.silent):
        return text
    names = ", ".join(silent[:SHOWN_SILENT]) + (", …" if len(silent) > SHOWN_SILENT else "")
    until = f"{activity.known_until.astimezone(NEW_YORK):%H:%M}"
    return f"{text}; without a trade until {until}: {len(silent):,} ({names})"
