"""Brings the gap ledger up to date: gaps that Kafka reports, and holes in the coverage.

Add a way in which a gap becomes known here; what is a hole belongs to `coverage`. The ledger has
market time, heartbeats have wall time: they differ in a replay.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from polygon_assets.gap_filling.coverage import Hole, Interval, holes
from polygon_assets.inspection import streams, tables
from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.market_clock import MarketClock
from polygon_assets.messages import Heartbeat, clamped_utc
from polygon_assets.serving import gap_ledger, heartbeat_history, subscription_sets
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

AROUND = dt.timedelta(minutes=2)
"""Heartbeats before the open and after the close show that the edges were covered."""
HISTORY = dt.timedelta(days=14)
"""Heartbeats whose set of channels is still looked for: the days that may still be closed."""
FAR_FUTURE = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
LATE_BARS = dt.timedelta(seconds=5)
"""A bar arrives about 2 s after its second: those just before a loss had not arrived yet."""


def record(
    settings: Settings,
    calendar: MarketCalendar,
    clock: MarketClock,
    days: Iterable[dt.date],
    now: dt.datetime,
) -> list[GapEntry]:
    """Store what the ledger does not have yet, and return it; `now` is wall time.

    Raises InspectionError when Kafka or ClickHouse cannot be read, and clickhouse_connect's errors.
    """
    from polygon_assets.clients import clickhouse

    reported = streams.reported_gaps(settings)
    with closing(clickhouse.connect(settings)) as client:
        new = gap_ledger.store_new_or_longer(client, reported, now)
        entries = gap_ledger.read(client)
        first_beat = heartbeat_history.first_sent_at(client, "producer")
        hole_entries = [
            entry
            for session in filter(None, map(calendar.session, days))
            if _was_streaming(clock, session, first_beat)
            for entry in _of_session(settings, clock, session, entries, now)
        ]
        return new + gap_ledger.store_new_or_longer(client, hole_entries, now)


def record_subscription_sets(settings: Settings, now: dt.datetime) -> None:
    """Store the sets of channels that producers followed lately, from their history in S3.

    Raises SubscriptionStoreError and clickhouse_connect's errors.
    """
    from polygon_assets.clients import clickhouse, subscription_store

    with closing(clickhouse.connect(settings)) as client:
        if versions := subscription_sets.missing_versions(client, now - HISTORY):
            subscription_sets.store(
                client, subscription_store.connect(settings).of_versions(versions)
            )


def _was_streaming(clock: MarketClock, session: Session, first_beat: dt.datetime | None) -> bool:
    """Whether streaming had begun before a session was over: what came before was never asked."""
    wall = _wall_interval(clock, session)
    return wall is not None and first_beat is not None and first_beat < wall.until


def _of_session(
    settings: Settings,
    clock: MarketClock,
    session: Session,
    entries: Sequence[GapEntry],
    now: dt.datetime,
) -> list[GapEntry]:
    """The entries of a session's holes that the ledger does not have."""
    beats = producer_heartbeats(settings, clock, session)
    holes = uncovered(clock, session, beats, entries, now)
    return [_entry(hole, clock, session, beats) for hole in holes]


def producer_heartbeats(
    settings: Settings, clock: MarketClock, session: Session
) -> list[Heartbeat]:
    """The producer's stored heartbeats of a session, oldest first. Raises InspectionError."""
    wall = _wall_interval(clock, session)
    if wall is None:
        return []
    interval = (wall.since - AROUND, wall.until + AROUND)
    return tables.heartbeats_between(settings, "producer", [interval])


def uncovered(
    clock: MarketClock,
    session: Session,
    beats: Sequence[Heartbeat],
    entries: Sequence[GapEntry],
    now: dt.datetime,
) -> list[Hole]:
    """The session's holes that no entry records. The holes and `now` are in wall time."""
    wall = _wall_interval(clock, session)
    return holes(wall, beats, _recorded(clock, entries), now) if wall else []


def _wall_interval(clock: MarketClock, session: Session) -> Interval | None:
    """None where a replay has not begun; a close that it has not reached lies in the future."""
    since, until = clock.wall(session.extended_open), clock.wall(session.extended_close)
    return Interval(since, until or FAR_FUTURE) if since else None


def _recorded(clock: MarketClock, entries: Sequence[GapEntry]) -> Iterator[Interval]:
    for entry in (entry for entry in entries if entry.is_of_the_connection):
        since, until = clock.wall(entry.since), clock.wall(entry.until)
        if since and until:
            yield Interval(since, until)


def _entry(
    hole: Hole, clock: MarketClock, session: Session, beats: Sequence[Heartbeat]
) -> GapEntry:
    """The ledger's entry of a hole, which begins with the bars that had not arrived yet."""
    since, until = hole.interval.since, hole.interval.until
    before = [beat for beat in beats if clamped_utc(beat.sent_at) <= since]
    epoch = clamped_utc(before[-1].epoch if before else 0)
    return GapEntry(
        f"hole-{since.timestamp() * 1000:.0f}",
        max(clock.market(since) - LATE_BARS, session.extended_open),
        clock.market(until),
        hole.cause,
        epoch=epoch,
    )
