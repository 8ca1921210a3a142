"""The facts for `decisions` and `day_closing`, read from Dagster, Kafka and ClickHouse.

Add a read here; what follows from the facts belongs to `decisions` and `day_closing`.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

import dagster as dg

from polygon_assets import topics
from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.keys import WEBSOCKET
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
"""A living producer is observed every 30 s; a later observation tells less of the moment itself."""
OBSERVATIONS = 25
"""More than fit into that time: a change of state is observed every 5 s at most."""


def stream_facts(
    instance: dg.DagsterInstance, settings: Settings, program: str, heartbeat: Heartbeat | None
) -> StreamFacts:
    runs = run_facts(instance, dg.RunsFilter(job_name=stream_job_name(program)))
    return StreamFacts(program, runs, heartbeat, missing_settings(settings, program))


def csv_facts(instance: dg.DagsterInstance, etag: str, seen_etag: str) -> CsvFacts:
    return CsvFacts(etag, seen_etag, run_facts(instance, dg.RunsFilter(tags={ETAG_TAG: etag})))


def day_facts(
    instance: dg.DagsterInstance, settings: Settings, days: Sequence[dt.date]
) -> list[DayFacts]:
    """What is known of each day; all times are market time, as the stamps of events are.

    Raises EvidenceError, because a system that does not answer proves nothing, and
    MarketClockError.
    """
    clock = market_clock.connect(settings)
    newest = streams.heartbeats(settings).get("producer")
    producers = producers_seen(instance, _edges(settings, clock, days), newest)
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
    instance: dg.DagsterInstance, moments: Iterable[dt.datetime], newest: Heartbeat | None
) -> list[Sighting]:
    """The producers observed soon after each moment, and the one of the newest heartbeat.

    The newest heartbeat counts even if Dagster did not start its producer. A run by itself proves
    nothing: it may be hours of a program that crashes at every start.
    """
    seen = [_sighting_of(newest)] if newest else []
    for moment in moments:
        records_filter = dg.AssetRecordsFilter(
            WEBSOCKET,
            after_timestamp=moment.timestamp(),
            before_timestamp=(moment + SEEN_WITHIN).timestamp(),
        )
        result = instance.fetch_observations(records_filter, OBSERVATIONS, ascending=True)
        seen += filter(None, (_sighting(record.asset_observation) for record in result.records))
    return seen


def _sighting_of(beat: Heartbeat) -> Sighting:
    return Sighting(utc(beat.started_at), utc(beat.sent_at), beat.desired, beat.confirmed)


def _sighting(observation: dg.AssetObservation | None) -> Sighting | None:
    """None for an observation that was made without a heartbeat."""
    entries = observation.metadata.items() if observation else ()
    match {name: entry.value for name, entry in entries}:
        case {
            "instance": str(instance),
            "sent_at": float(sent_at),
            "channels_desired": int(desired),
            "channels_confirmed": int(confirmed),
        }:
            started_at = utc(int(instance.rpartition(":")[2]))
            at = dt.datetime.fromtimestamp(sent_at, dt.UTC)
            return Sighting(started_at, at, desired, confirmed)
    return None
