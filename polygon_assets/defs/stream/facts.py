"""The facts for `decisions` and `day_closing`, read from Dagster's runs, Kafka and ClickHouse.

Add a read here; what follows from the facts belongs to `decisions` and `day_closing`.
"""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from polygon_assets import topics
from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.runs import run_facts
from polygon_assets.defs.stream.day_closing import DayFacts
from polygon_assets.defs.stream.decisions import CsvFacts, StreamFacts
from polygon_assets.defs.stream.jobs import ETAG_TAG, stream_job_name
from polygon_assets.gap_filling import record
from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.inspection import connectors, streams, tables
from polygon_assets.inspection.gaps import unsettled
from polygon_assets.market_calendar import Session
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.messages import Heartbeat
from polygon_assets.required_settings import missing_settings
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings


def stream_facts(
    instance: dg.DagsterInstance,
    settings: Settings,
    program: str,
    heartbeat: Heartbeat | None,
    desired_tasks: int | None = None,
) -> StreamFacts:
    on_ecs = settings.stream_runner == "ecs"
    parts = (program, "ecs") if on_ecs else (program,)
    return StreamFacts(
        program,
        run_facts(instance, dg.RunsFilter(job_name=stream_job_name(program))),
        heartbeat,
        missing_settings(settings, *parts),
        settings.copies(program),
        outlives_run=settings.stream_runner != "process",
        replaced_by=connectors.KAFKA_CONNECT if connectors.replaces(settings, program) else "",
        desired_tasks=desired_tasks,
    )


def csv_facts(instance: dg.DagsterInstance, etag: str, seen_etag: str) -> CsvFacts:
    return CsvFacts(etag, seen_etag, run_facts(instance, dg.RunsFilter(tags={ETAG_TAG: etag})))


def day_facts(
    settings: Settings, days: Sequence[dt.date], entries: Sequence[GapEntry], now: dt.datetime
) -> list[DayFacts]:
    """What is known of each day; `now` is wall time, the facts have market time.

    Raises InspectionError, because a system that does not answer proves nothing, and
    MarketClockError.
    """
    clock, calendar = market_clock.connect(settings), calendar_of(settings)
    pending = _pending_since(settings, clock)
    return [
        DayFacts(
            day,
            rows,
            unsettled(entries),
            pending,
            _uncovered(settings, clock, calendar.session(day), entries, now),
        )
        for day, rows in tables.day_rows(settings, days).items()
    ]


def _uncovered(
    settings: Settings,
    clock: MarketClock,
    session: Session | None,
    entries: Sequence[GapEntry],
    now: dt.datetime,
) -> list[Interval]:
    """The time of a session that neither a producer covered nor the ledger records."""
    if session is None:
        return []
    beats = record.producer_heartbeats(settings, clock, session)
    holes = [hole.interval for hole in record.uncovered(clock, session, beats, entries, now)]
    return [Interval(clock.market(hole.since), clock.market(hole.until)) for hole in holes]


def _pending_since(settings: Settings, clock: MarketClock) -> dict[str, dt.datetime | None]:
    read = [topics.READERS[program] for program in ("filter", "sink")]
    pending = {group: streams.pending_since(settings, group, topic) for group, topic in read}
    return {group: clock.market(since) if since else None for group, since in pending.items()}
