"""Which time a producer proved to have covered, and which time nobody recorded: pure functions.

Add a rule about coverage here. The producer reports its own losses; this finds those that it cannot
report: a broker without memory that was restarted, a machine asleep or without power, a producer
that started late, a channel that was never confirmed.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from polygon_assets.messages import Heartbeat, clamped_utc

FRESH_MS = 2_500
"""A complete producer sets `complete_until` four times a second, and sends it once a second."""
SILENCE_MS = 30_000
"""A heartbeat is stored every ten seconds: after three missing ones the time is not covered."""
SHORTEST_HOLE = dt.timedelta(seconds=3)
"""Heartbeats around a change are stored, each up to a second from the change itself."""


@dataclass(frozen=True)
class Interval:
    """A stretch of time, `until` excluded."""

    since: dt.datetime
    until: dt.datetime

    @property
    def length(self) -> dt.timedelta:
        return self.until - self.since


@dataclass(frozen=True)
class Hole:
    """An interval that no producer covered and no ledger entry records."""

    interval: Interval
    cause: str


def is_complete(beat: Heartbeat) -> bool:
    """Whether the producer had all its channels and missed nothing when it sent this heartbeat."""
    if beat.complete_until is None or not 0 < beat.desired <= beat.confirmed:
        return False
    return beat.sent_at - beat.complete_until <= FRESH_MS


def covered(beats: Sequence[Heartbeat]) -> list[Interval]:
    """The time between consecutive complete heartbeats of one connection; `beats` oldest first."""
    return [
        Interval(clamped_utc(before.complete_until), clamped_utc(after.complete_until))
        for before, after in pairwise(beats)
        if before.complete_until
        and after.complete_until
        and is_complete(before)
        and is_complete(after)
        and (before.instance, before.epoch) == (after.instance, after.epoch)
        and after.sent_at - before.sent_at <= SILENCE_MS
    ]


def holes(
    session: Interval, beats: Sequence[Heartbeat], recorded: Iterable[Interval], now: dt.datetime
) -> list[Hole]:
    """The holes of a session that are over; all moments are wall time, `beats` oldest first.

    The time since the last complete heartbeat is no hole while the session lasts: the producer may
    come back and report it.
    """
    proved = covered(beats)
    until = session.until
    if now < session.until:
        until = max((part.until for part in proved), default=session.since)
    return [
        Hole(piece, _cause(piece, beats))
        for piece in without(Interval(session.since, until), [*proved, *recorded])
        if piece.length >= SHORTEST_HOLE
    ]


def without(whole: Interval, parts: Iterable[Interval]) -> Iterator[Interval]:
    """What is left of an interval after the parts are taken out, oldest first."""
    since = whole.since
    if since >= whole.until:
        return
    for part in sorted(parts, key=lambda part: part.since):
        if part.since > since:
            yield Interval(since, min(part.since, whole.until))
        since = max(since, part.until)
        if since >= whole.until:
            return
    if since < whole.until:
        yield Interval(since, whole.until)


def _cause(hole: Interval, beats: Sequence[Heartbeat]) -> str:
    around = [beat for beat in beats if beat.complete_until]
    if not around:
        return "not running"
    before = [beat for beat in around if clamped_utc(beat.sent_at) <= hole.since]
    after = [beat for beat in around if clamped_utc(beat.sent_at) >= hole.until]
    if not before:
        return "late start"
    if not after:
        return "early end"
    if before[-1].instance != after[0].instance:
        return "restart"
    within = [beat for beat in beats if hole.since < clamped_utc(beat.sent_at) < hole.until]
    return "unconfirmed" if within else "silence"
