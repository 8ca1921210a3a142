"""The facts for `decisions` and `day_closing`, read from Dagster's runs, Kafka and ClickHouse.

Add a read here; what follows from the facts belongs to `decisions` and `day_closing`.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

import dagster as dg

from polygon_assets import topics
from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.runs import run_facts
from polygon_assets.defs.stream.day_closing import DayFacts, Sighting
from polygon_assets.defs.stream.decisions import CsvFacts, StreamFacts
from polygon_assets.defs.stream.jobs import ETAG_TAG, stream_job_name
from polygon_assets.inspection import streams, tables
from polygon_assets.inspection.gaps import open_gaps
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.messages import Heartbeat, utc
from polygon_assets.required_settings import missing_settings
from polygon_assets.settings import Settings

SEEN_WITHIN = dt.timedelta(minutes=2)
"""A living producer's heartbeat is stored every 10 s; a later one proves less about the moment."""


def stream_facts(
    instance: dg.DagsterInstance, settings: Settings, program: str, heartbeat: Heartbeat | None
) -> StreamFacts:
    runs = run_facts(instance, dg.RunsFilter(job_name=stream_job_name(program)))
    return StreamFacts(program, runs, heartbeat, missing_settings(settings, program))


def csv_facts(instance: dg.DagsterInstance, etag: str, seen_etag: str) -> CsvFacts:
    return CsvFacts(etag, seen_etag, run_facts(instance, dg.RunsFilter(tags={ETAG_TAG: etag})))


def day_facts(settings: Settings, days: Sequence[dt.date]) -> list[DayFacts]:
    """What is known of each day; all times are market time, as the stamps of events are.

    Raises EvidenceError, because a system that does not answer proves nothing, and
    MarketClockError.
    """
    clock = market_clock.connect(settings)
    newest = streams.heartbeats(settings).get("producer")
    producers = producers_seen(settings, _edges(settings, clock, days), newest)
    in_market_time = [_in_market_time(seen, clock) for seen in producers]
    gaps = open_gaps(settings)
    pending = _pending_since(settings, clock)
    return [
        DayFacts(day, rows, gaps, pending, in_market_time)
        for day, rows in tables.day_rows(settings, days).items()
    ]


def _edges(settings: Settings, clock: MarketClock, days: Sequence[dt.date]) -> list[dt.datetime]:
    """The wall times of the sessions' opens and closes, without those a replay never reaches."""
    sessions = filter(None, map(calendar_of(settings).session, days))
    moments = {
        moment for session in sessions for moment in (session.extended_open, session.extended_close)
    }
    return list(filter(None, map(clock.wall, moments)))


def _pending_since(settings: Settings, clock: MarketClock) -> dict[str, dt.datetime | None]:
    topic_of = {
        topics.FILTER_GROUP: topics.RAW_TOPIC,
        topics.SINK_GROUP: topics.FILTERED_TOPIC,
    }
    pending = {
        group: streams.pending_since(settings, group, topic) for group, topic in topic_of.items()
    }
    return {group: clock.market(since) if since else None for group, since in pending.items()}


def _in_market_time(seen: Sighting, clock: MarketClock) -> Sighting:
    return replace(seen, since=clock.market(seen.since), at=clock.market(seen.at))


def producers_seen(
    settings: Settings, moments: Iterable[dt.datetime], newest: Heartbeat | None
) -> list[Sighting]:
    """The producers that sent a heartbeat soon after each moment, and that of the newest heartbeat.

    The newest heartbeat counts even if no run stores its producer's heartbeats. A run by itself
    proves nothing: it may be hours of a program that crashes at every start.

    Raises EvidenceError.
    """
    intervals = [(moment, moment + SEEN_WITHIN) for moment in moments]
    stored = tables.heartbeats_between(settings, "producer", intervals) if intervals else []
    return [_sighting(beat) for beat in ([newest] if newest else []) + stored]


def _sighting(beat: Heartbeat) -> Sighting:
    return Sighting(utc(beat.started_at), utc(beat.sent_at), beat.desired, beat.confirmed)
