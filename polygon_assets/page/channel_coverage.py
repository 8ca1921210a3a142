"""The day of each channel: when it traded, when it was proved quiet, and when that is unknown.

Add a rule about single channels here; what concerns all of them belongs to `trust`. Pure functions.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from polygon_assets.gap_filling.coverage import Interval, covered, without
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.messages import Heartbeat
from polygon_assets.page.candles import Columns
from polygon_assets.page.trust import BARS, Rows, add_bar, add_gap, merged
from polygon_assets.serving.gap_ledger import concerns, is_of_the_connection
from polygon_assets.subscriptions import WILDCARD

FIVE_MINUTES = dt.timedelta(minutes=5)
SHOWN_SILENT = 10


@dataclass(frozen=True)
class Coverage:
    """What a producer proved to have covered; the intervals oldest first."""

    whole: Sequence[Interval] = ()
    by_set: Mapping[str, Sequence[Interval]] = field(default_factory=dict)
    """By the version of the set of channels that it followed."""


def coverage_of(beats: Sequence[Heartbeat]) -> Coverage:
    """What heartbeats prove, oldest first; a change of the set between two proves no channel."""
    by_set: dict[str, list[Interval]] = defaultdict(list)
    for pair in pairwise(beats):
        if pair[0].subscriptions_version == pair[1].subscriptions_version:
            by_set[pair[0].subscriptions_version] += covered(pair)
    return Coverage(covered(beats), by_set)


@dataclass(frozen=True)
class Activity:
    """When the subscribed channels traded today."""

    intervals: Mapping[str, Sequence[dt.datetime]] = field(default_factory=dict)
    """The starts of the five minutes with trades, by channel: first channels without a trade, then
    the busiest. With `A.*`, which names no channel, only the busiest."""
    sets: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The channels of each version that a producer followed today."""
    channel_count: int = 0
    known_until: dt.datetime | None = None
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

    def proved(self, channel: str, coverage: Coverage) -> list[Interval]:
        """The time for which every second of a channel is known, as far as it is stored."""
        if self.known_until is None:
            return []
        parts = [
            Interval(part.since, min(part.until, self.known_until))
            for version, channels in self.sets.items()
            if channel in channels or WILDCARD in channels
            for part in coverage.by_set.get(version, ())
            if part.since < self.known_until
        ]
        return list(merged(sorted(parts, key=lambda part: part.since)))


def channel_timeline(
    activity: Activity, coverage: Coverage, gaps: Rows, session: Interval
) -> Columns:
    """A line for each channel: traded or proved quiet by five minutes, and the connection's gaps.

    Empty is the time that the one-minute bars lack, and that in which a channel was not subscribed.
    """
    bars: Columns = {name: [] for name in BARS}
    common = [gap for gap in gaps if is_of_the_connection(gap["gap_id"])]
    for channel in activity.shown:
        starts = activity.intervals[channel]
        traded = list(merged(Interval(start, start + FIVE_MINUTES) for start in starts))
        for part in activity.proved(channel, coverage):
            quiet = list(without(part, traded))
            for piece in without(part, quiet):
                add_bar(bars, channel, piece, "streamed", "traded, by five minutes")
            for piece in quiet:
                add_bar(bars, channel, piece, "quiet", "no trade while the stream was complete")
        for gap in common:
            if concerns(gap["channels"], channel):
                add_gap(bars, channel, gap, session)
    return bars


def silent_line(activity: Activity) -> str:
    """How many channels have a line, and which had not traded at all until when."""
    if activity.known_until is None:
        return "lines of single channels appear with the day's first one-minute bars"
    text = f"{len(activity.shown):,} of {activity.channel_count:,} channels shown"
    if not (silent := activity.silent):
        return text
    names = ", ".join(silent[:SHOWN_SILENT]) + (", …" if len(silent) > SHOWN_SILENT else "")
    until = f"{activity.known_until.astimezone(NEW_YORK):%H:%M}"
    return f"{text}; without a trade until {until} New York: {len(silent):,} ({names})"
