"""The facts for `decisions`: which days are done, what is under way, what the last sync brought.

Add a backlog here; what follows from it belongs to `decisions`. Everything is read from Dagster
but the vendor's newest change.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from polygon_assets.batch.marts import MARTS
from polygon_assets.defs.batch.decisions import (
    AUTOMATIONS_TURN,
    DAYS_COMPARED,
    Backlog,
    ReferenceFacts,
    left_to_the_schedule,
    settled_days,
)
from polygon_assets.defs.batch.jobs import BUILD_FACTS, COMPARE_DAYS, LOAD_DAYS, SYNC_REFERENCE
from polygon_assets.defs.batch.mart_checks import checks_of
from polygon_assets.defs.graph.keys import (
    DAILY_OPEN_CLOSE,
    FACT_DAILY_TRADING,
    GROUPED_DAILY,
    STOCK_AGGREGATES,
    STREAM_VS_BATCH,
    SUBSCRIPTIONS,
    TICKERS,
)
from polygon_assets.defs.graph.materializations import materialized_at
from polygon_assets.defs.graph.pools import VENDOR_REQUESTS, is_in_pool, mart_pool, pool_tag
from polygon_assets.defs.graph.runs import ACTIVE, ASKED_BY_TAG, RunFacts, run_facts
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.required_settings import missing_settings
from polygon_assets.settings import Settings

MISSING_DAYS = "missing_days"
"""The sensor that works the backlogs off."""
NEWEST_CHANGE = "newest_change"
"""Metadata of a sync of the tickers: the newest change that it brought, ISO 8601."""
VENDOR_SECONDS = 15.0
"""At 5 requests a minute the second request waits 12 s; a sensor's tick has 60."""


def load_backlog(
    instance: dg.DagsterInstance,
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    clock: MarketClock = WALL_CLOCK,
) -> Backlog:
    """The days of the history, and those in both daily tables; `now` is wall time."""
    settled = settled_days(calendar, clock.market(now), settings.daily_history_days)
    # The schedule ticks by the wall clock, so it cannot be in time for a replayed day.
    days = [
        day for day in settled if not clock.is_wall or not left_to_the_schedule(calendar, day, now)
    ]
    return Backlog(
        days,
        loaded_days(instance),
        run_facts(instance, _requested(LOAD_DAYS)),
        under_way(instance, VENDOR_REQUESTS),
        missing_settings(settings, "vendor", "warehouse"),
        waits_for=_comes_first(instance, settings),
    )


def fact_table_backlog(
    instance: dg.DagsterInstance,
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    clock: MarketClock = WALL_CLOCK,
) -> Backlog:
    """The days of the history, and those whose fact automation has built or may still build."""
    days = settled_days(calendar, clock.market(now), settings.daily_history_days)
    sources = (GROUPED_DAILY, DAILY_OPEN_CLOSE)
    return Backlog(
        days,
        set(days) - _missed_by_automation(instance, FACT_DAILY_TRADING, sources, days, now),
        run_facts(instance, _requested(BUILD_FACTS)),
        under_way(instance, mart_pool(FACT_DAILY_TRADING.path[-1])),
        missing_settings(settings, "warehouse"),
    )


def comparison_backlog(
    instance: dg.DagsterInstance,
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    clock: MarketClock = WALL_CLOCK,
) -> Backlog:
    """The last days, and those that automation has compared or may still compare."""
    days = settled_days(calendar, clock.market(now), DAYS_COMPARED)
    sources = (STOCK_AGGREGATES, FACT_DAILY_TRADING)
    return Backlog(
        days,
        set(days) - _missed_by_automation(instance, STREAM_VS_BATCH, sources, days, now),
        run_facts(instance, _requested(COMPARE_DAYS)),
        under_way(instance, mart_pool(STREAM_VS_BATCH.path[-1])),
        missing_settings(settings, "warehouse"),
        days_per_run=1,
        waits_for=_failed_check(instance, FACT_DAILY_TRADING),
    )


def daily_batch_backlog(instance: dg.DagsterInstance, settings: Settings, day: dt.date) -> Backlog:
    """The newest settled day. Loads of other days do not block it: its run waits in the queue."""
    return Backlog(
        (day,),
        loaded_days(instance),
        under_way=_load_under_way(instance, day),
        missing_settings=missing_settings(settings, "airbyte", "warehouse"),
    )


def reference_facts(
    instance: dg.DagsterInstance, settings: Settings, asked_vendor_at: dt.datetime | None
) -> ReferenceFacts:
    event = instance.get_latest_materialization_event(TICKERS)
    materialization = event.asset_materialization if event else None
    change = materialization.metadata.get(NEWEST_CHANGE) if materialization else None
    return ReferenceFacts(
        str(change.value) if change else None,
        asked_vendor_at,
        run_facts(instance, dg.RunsFilter(job_name=SYNC_REFERENCE.name)),
        under_way(instance, VENDOR_REQUESTS),
        missing_settings(settings, "airbyte", "vendor", "warehouse"),
    )


def loaded_days(instance: dg.DagsterInstance) -> set[dt.date]:
    """The trading days that are in both daily tables."""
    tables = (GROUPED_DAILY, DAILY_OPEN_CLOSE)
    return set.intersection(*(materialized_days(instance, table) for table in tables))


def materialized_days(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[dt.date]:
    return set(map(dt.date.fromisoformat, instance.get_materialized_partitions(key)))


def under_way(instance: dg.DagsterInstance, pool: str) -> str:
    """The id of a queued or active run of the pool, whoever launched it; empty without one."""
    run_filter = dg.RunsFilter(statuses=list(ACTIVE), tags=pool_tag(pool))
    runs = instance.get_runs(run_filter, limit=1)
    return runs[0].run_id if runs else ""


def days_of(tags: Mapping[str, str]) -> tuple[dt.date, dt.date] | None:
    """The first and the last day of a run; None for a run of tables without days."""
    only = tags.get(PARTITION_NAME_TAG)
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG, only)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG, only)
    return (dt.date.fromisoformat(first), dt.date.fromisoformat(last)) if first and last else None


def running_in_pools(instance: dg.DagsterInstance) -> list[RunFacts]:
    """The runs that hold a pool now, whoever launched them."""
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    ids = [run.run_id for run in runs if is_in_pool(run)]
    return run_facts(instance, dg.RunsFilter(run_ids=ids)) if ids else []


def newest_change_at_vendor(settings: Settings) -> str:
    """When the vendor last changed an active ticker, ISO 8601. Raises PolygonApiError."""
    from polygon_assets.clients.polygon import PolygonRest
    from polygon_assets.clients.polygon_answers import PolygonApiError

    rest = PolygonRest(settings, patience_seconds=VENDOR_SECONDS)
    newest_first = {"active": True, "sort": "last_updated_utc", "order": "desc", "limit": 1}
    newest = [
        next(iter(rest.list_tickers(market=market, **newest_first)), None)
        for market in ("stocks", "otc")
    ]
    changes: list[str] = [
        ticker.last_updated_utc for ticker in newest if ticker and ticker.last_updated_utc
    ]
    if not changes:
        raise PolygonApiError(
            f"{settings.polygon_rest_url} listed no active ticker with a time of change"
        )
    return max(changes)


def _requested(job: UnresolvedAssetJobDefinition) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=job.name, tags={ASKED_BY_TAG: MISSING_DAYS})


def _comes_first(instance: dg.DagsterInstance, settings: Settings) -> str:
    """What a first history waits for: the named symbols, and the tickers that facts refer to."""
    if instance.get_latest_materialization_event(SUBSCRIPTIONS) is None:
        return f"{SUBSCRIPTIONS.to_user_string()}, which names the symbols of daily_open_close"
    if missing_settings(settings, "airbyte") or instance.get_latest_materialization_event(TICKERS):
        return ""
    # A sync that failed must not hold the history back.
    runs = run_facts(instance, dg.RunsFilter(job_name=SYNC_REFERENCE.name))
    was_tried = any(run.failed for run in runs)
    return "" if was_tried else "the reference data, which the facts refer to"


def _failed_check(instance: dg.DagsterInstance, mart_key: dg.AssetKey) -> str:
    """A blocking check of the mart that has failed, for which automation waits too; or empty."""
    for check in checks_of(MARTS[mart_key.path[-1]]):
        if not check.blocking:
            continue
        key = dg.AssetCheckKey(mart_key, check.name)
        record = instance.get_latest_asset_check_evaluation_record(key)
        if record and record.status is AssetCheckExecutionRecordStatus.FAILED:
            return f"`{check.name}` of {mart_key.to_user_string()}, which has failed"
    return ""


def _load_under_way(instance: dg.DagsterInstance, day: dt.date) -> str:
    """The id of a queued or active run that loads this day, alone or among others; or empty."""
    run_filter = dg.RunsFilter(statuses=list(ACTIVE), tags=pool_tag(VENDOR_REQUESTS))
    for run in instance.get_runs(run_filter):
        days = days_of(run.tags)
        if days and days[0] <= day <= days[1]:
            return run.run_id
    return ""


def _missed_by_automation(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    sources: Sequence[dg.AssetKey],
    days: Collection[dt.date],
    now: dt.datetime,
) -> set[dt.date]:
    """The days that every source has and that automation, in its turn, has not built since."""
    built = _newest_events(instance, key, days)
    by_source = [_newest_events(instance, source, days) for source in sources]
    ready = {
        day: max(events[day] for events in by_source)
        for day in days
        if all(day in events for events in by_source)
    }
    behind = {day for day, event in ready.items() if event > built.get(day, 0)}
    moments = [materialized_at(instance, source, behind) for source in sources]
    return {
        day
        for day in behind
        if all(now - at[day] > AUTOMATIONS_TURN for at in moments if day in at)
    }


def _newest_events(
    instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[dt.date]
) -> dict[dt.date, int]:
    """The number of each day's newest materialization; numbers grow.

    Years of days are asked for at every tick, so no event itself is read.
    """
    newest = instance.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, {day.isoformat() for day in days}
    )
    return {dt.date.fromisoformat(partition): number for partition, number in newest.items()}
