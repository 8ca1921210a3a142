"""The facts that sensors hand to `decisions`: what Dagster knows of runs and days, put beside the evidence.

Only reading belongs here; what follows from the facts is decided elsewhere.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

import dagster as dg

from polygon_assets import messages
from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.keys import WEBSOCKET
from polygon_assets.defs.graph.required_settings import missing_settings
from polygon_assets.defs.stream.decisions import (
    ACTIVE,
    CsvFacts,
    DayFacts,
    RunFacts,
    Sighting,
    StreamFacts,
    utc,
)
from polygon_assets.defs.stream.jobs import ETAG_TAG, NEEDS_HUMAN_TAG, stream_job_name
from polygon_assets.inspection import streams, tables
from polygon_assets.inspection.gaps import open_gaps
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings

HISTORY = 15
"""Runs looked at: more than the failures after which the supervision gives up."""
SEEN_WITHIN = dt.timedelta(minutes=2)
"""A living producer is observed at least every 30 s; what is seen later tells less of the moment itself."""
OBSERVATIONS = 25
"""More than there can be in that time: a change of state is observed every 5 s at most."""


def stream_facts(
    instance: dg.DagsterInstance, settings: Settings, program: str, heartbeat: Heartbeat | None
) -> StreamFacts:
    runs = run_facts(instance, dg.RunsFilter(job_name=stream_job_name(program)))
    return StreamFacts(program, runs, heartbeat, missing_settings(settings, program))


def run_facts(instance: dg.DagsterInstance, which: dg.RunsFilter) -> list[RunFacts]:
    """The newest runs first."""
    return [
        _facts_of(instance, record) for record in instance.get_run_records(which, limit=HISTORY)
    ]


def csv_facts(instance: dg.DagsterInstance, etag: str, seen_etag: str) -> CsvFacts:
    return CsvFacts(etag, seen_etag, run_facts(instance, dg.RunsFilter(tags={ETAG_TAG: etag})))


def day_facts(
    instance: dg.DagsterInstance, settings: Settings, days: Sequence[dt.date]
) -> list[DayFacts]:
    """All times are market time, as those of gaps are already: they are stamps of events.

    Raises EvidenceError: what cannot be asked proves nothing; and MarketClockError.
    """
    clock = market_clock.connect(settings)
    sessions = filter(None, map(calendar_of(settings).session, days))
    edges = {
        edge for session in sessions for edge in (session.extended_open, session.extended_close)
    }
    seen_at = filter(None, map(clock.wall, edges))
    producers = [
        _in_market_time(one, clock)
        for one in producers_seen(instance, seen_at, streams.heartbeats(settings).get("producer"))
    ]
    gaps = open_gaps(settings)
    pending = {
        messages.FILTER_GROUP: streams.pending_since(
            settings, messages.FILTER_GROUP, messages.RAW_TOPIC
        ),
        messages.SINK_GROUP: streams.pending_since(
            settings, messages.SINK_GROUP, messages.FILTERED_TOPIC
        ),
    }
    pending = {group: clock.market(since) if since else None for group, since in pending.items()}
    return [
        DayFacts(day, rows, gaps, pending, producers)
        for day, rows in tables.day_rows(settings, days).items()
    ]


def _in_market_time(seen: Sighting, clock: MarketClock) -> Sighting:
    return replace(seen, since=clock.market(seen.since), at=clock.market(seen.at))


def producers_seen(
    instance: dg.DagsterInstance, moments: Iterable[dt.datetime], beat: Heartbeat | None
) -> list[Sighting]:
    """The producers that their runs observed soon after each moment, and that of the last heartbeat, also if Dagster did not start it.

    A run itself proves nothing: it may be hours of a program that crashes at every start.
    """
    seen = (
        [Sighting(utc(beat.started_at), utc(beat.sent_at), beat.desired, beat.confirmed)]
        if beat
        else []
    )
    for moment in moments:
        after, before = moment.timestamp(), (moment + SEEN_WITHIN).timestamp()
        which = dg.AssetRecordsFilter(WEBSOCKET, after_timestamp=after, before_timestamp=before)
        records = instance.fetch_observations(which, OBSERVATIONS, ascending=True).records
        seen += filter(None, (_sighting(record.asset_observation) for record in records))
    return seen


def _sighting(observation: dg.AssetObservation | None) -> Sighting | None:
    """None for one that was made without a heartbeat."""
    metadata = (
        {name: entry.value for name, entry in observation.metadata.items()} if observation else {}
    )
    match metadata:
        case {
            "instance": str(name),
            "sent_at": float(sent_at),
            "channels_desired": int(desired),
            "channels_confirmed": int(confirmed),
        }:
            return Sighting(
                utc(int(name.rpartition(":")[2])),
                dt.datetime.fromtimestamp(sent_at, dt.UTC),
                desired,
                confirmed,
            )
    return None


def _facts_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> RunFacts:
    run = record.dagster_run
    active = run.status in ACTIVE
    return RunFacts(
        run.run_id,
        run.status,
        record.create_timestamp,
        dt.datetime.fromtimestamp(record.end_time, dt.UTC)
        if record.end_time and not active
        else None,
        _last_event(instance, run.run_id) if active else None,
        NEEDS_HUMAN_TAG in run.tags,
    )


def _last_event(instance: dg.DagsterInstance, run_id: str) -> dt.datetime | None:
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return dt.datetime.fromtimestamp(records[0].timestamp, dt.UTC) if records else None
