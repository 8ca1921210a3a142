"""The facts for `batch_decisions`: which days are loaded, what is under way, and what the last sync of the reference data saw.

Only reading belongs here, and but for one question to the vendor only from Dagster.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence

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
from polygon_assets.defs.graph.pools import VENDOR_REQUESTS, is_in_pool, mart_pool, pool_tag
from polygon_assets.defs.graph.required_settings import missing_settings
from polygon_assets.defs.stream.decisions import ACTIVE, RunFacts
from polygon_assets.defs.stream.facts import run_facts
from polygon_assets.defs.stream.jobs import (
    ASKED_BY_TAG,
    BUILD_FACTS,
    COMPARE_DAYS,
    LOAD_DAYS,
    SYNC_REFERENCE,
)
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.settings import Settings

NEWEST_CHANGE = "newest_change"
"""Metadata of a sync of the tickers: the newest change that it brought, ISO 8601."""
MOST_EVENTS = 10_000
"""Dagster refuses to read more at once."""
LOOK_SECONDS = 15.0
"""At 5 requests a minute the second question alone waits 12 s; a sensor's tick has 60."""


def loads(
    instance: dg.DagsterInstance,
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    clock: MarketClock = WALL_CLOCK,
) -> Backlog:
    """The days of the history that `missing_days` may ask for, and those that are in both raw tables; `now` is wall time."""
    settled = settled_days(calendar, clock.market(now), settings.daily_history_days)
    # The schedule ticks by the wall clock, so it cannot be in time for a day that is replayed.
    wanted = [
        day for day in settled if not clock.is_wall or not left_to_the_schedule(calendar, day, now)
    ]
    return Backlog(
        wanted,
        loaded_days(instance),
        run_facts(instance, _asked(LOAD_DAYS)),
        under_way(instance, VENDOR_REQUESTS),
        missing_settings(settings, "vendor", "warehouse"),
        waits_for=_comes_first(instance, settings),
    )


def _asked(job: UnresolvedAssetJobDefinition) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=job.name, tags={ASKED_BY_TAG: "missing_days"})


def _comes_first(instance: dg.DagsterInstance, settings: Settings) -> str:
    """What a first history waits for: the symbols that daily_open_close is asked of, and the tickers that the facts refer to."""
    if instance.get_latest_materialization_event(SUBSCRIPTIONS) is None:
        return f"{SUBSCRIPTIONS.to_user_string()}, which names the symbols of daily_open_close"
    if missing_settings(settings, "airbyte") or instance.get_latest_materialization_event(TICKERS):
        return ""
    # One that failed must not hold the history back.
    tried = any(
        run.status is dg.DagsterRunStatus.FAILURE
        for run in run_facts(instance, dg.RunsFilter(job_name=SYNC_REFERENCE.name))
    )
    return "" if tried else "the reference data, which the facts refer to"


def facts(
    instance: dg.DagsterInstance,
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    clock: MarketClock = WALL_CLOCK,
) -> Backlog:
    """The same days for the fact: asked for are those that were loaded some time ago, and that automation has not built since."""
    wanted = settled_days(calendar, clock.market(now), settings.daily_history_days)
    return Backlog(
        wanted,
        set(wanted)
        - _left_behind(
            instance, FACT_DAILY_TRADING, (GROUPED_DAILY, DAILY_OPEN_CLOSE), wanted, now
        ),
        run_facts(instance, _asked(BUILD_FACTS)),
        under_way(instance, mart_pool(FACT_DAILY_TRADING.path[-1])),
        missing_settings(settings, "warehouse"),
    )


def comparisons(
    instance: dg.DagsterInstance,
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    clock: MarketClock = WALL_CLOCK,
) -> Backlog:
    """The last days for the comparison: asked for are those that were closed and built some time ago, and not compared since."""
    wanted = settled_days(calendar, clock.market(now), DAYS_COMPARED)
    return Backlog(
        wanted,
        set(wanted)
        - _left_behind(
            instance, STREAM_VS_BATCH, (STOCK_AGGREGATES, FACT_DAILY_TRADING), wanted, now
        ),
        run_facts(instance, _asked(COMPARE_DAYS)),
        under_way(instance, mart_pool(STREAM_VS_BATCH.path[-1])),
        missing_settings(settings, "warehouse"),
        days_per_run=1,
        waits_for=_failed_check(instance, FACT_DAILY_TRADING),
    )


def _failed_check(instance: dg.DagsterInstance, mart_key: dg.AssetKey) -> str:
    """A blocking check of the mart that has failed, which automation would wait for too; empty when there is none."""
    for check in checks_of(MARTS[mart_key.path[-1]]):
        record = (
            instance.get_latest_asset_check_evaluation_record(
                dg.AssetCheckKey(mart_key, check.name)
            )
            if check.blocking
            else None
        )
        if record and record.status is AssetCheckExecutionRecordStatus.FAILED:
            return f"`{check.name}` of {mart_key.to_user_string()}, which has failed"
    return ""


def daily_batch(instance: dg.DagsterInstance, settings: Settings, day: dt.date) -> Backlog:
    """What the schedule of this newest day has to know. Loads of other days are not in its way: it waits in the queue for them."""
    return Backlog(
        (day,),
        loaded_days(instance),
        under_way=_load_under_way(instance, day),
        missing_settings=missing_settings(settings, "airbyte", "warehouse"),
    )


def reference(
    instance: dg.DagsterInstance, settings: Settings, looked_at: dt.datetime | None
) -> ReferenceFacts:
    event = instance.get_latest_materialization_event(TICKERS)
    seen = (
        event.asset_materialization.metadata.get(NEWEST_CHANGE)
        if event and event.asset_materialization
        else None
    )
    return ReferenceFacts(
        str(seen.value) if seen else None,
        looked_at,
        run_facts(instance, dg.RunsFilter(job_name=SYNC_REFERENCE.name)),
        under_way(instance, VENDOR_REQUESTS),
        missing_settings(settings, "airbyte", "vendor", "warehouse"),
    )


def loaded_days(instance: dg.DagsterInstance) -> set[dt.date]:
    """Trading days that are in both daily tables."""
    return materialized_days(instance, GROUPED_DAILY) & materialized_days(
        instance, DAILY_OPEN_CLOSE
    )


def materialized_days(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[dt.date]:
    return {
        dt.date.fromisoformat(partition) for partition in instance.get_materialized_partitions(key)
    }


def materialized_at(
    instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[dt.date]
) -> dict[dt.date, dt.datetime]:
    """When each of the days was last materialized."""
    if not days:
        return {}
    which = dg.AssetRecordsFilter(key, asset_partitions=sorted(day.isoformat() for day in days))
    # Oldest first: of several loads of one day the last one stays.
    return dict(
        _moments(
            instance.fetch_materializations(which, limit=min(10 * len(days), MOST_EVENTS)).records[
                ::-1
            ]
        )
    )


def under_way(instance: dg.DagsterInstance, pool: str) -> str:
    """The id of a run of the pool that is queued or going, whoever launched it; empty when there is none."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE), tags=pool_tag(pool)), limit=1)
    return runs[0].run_id if runs else ""


def _load_under_way(instance: dg.DagsterInstance, day: dt.date) -> str:
    """The id of a run that is queued or going and loads this day, alone or among others; empty when there is none."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE), tags=pool_tag(VENDOR_REQUESTS)))
    return next(
        (run.run_id for run in runs if (days := days_of(run.tags)) and days[0] <= day <= days[1]),
        "",
    )


def days_of(tags: Mapping[str, str]) -> tuple[dt.date, dt.date] | None:
    """The first and the last day that a run is for; None for a run of tables without days."""
    only = tags.get(PARTITION_NAME_TAG)
    first, last = (
        tags.get(ASSET_PARTITION_RANGE_START_TAG, only),
        tags.get(ASSET_PARTITION_RANGE_END_TAG, only),
    )
    return (dt.date.fromisoformat(first), dt.date.fromisoformat(last)) if first and last else None


def running_in_pools(instance: dg.DagsterInstance) -> list[RunFacts]:
    """The runs that hold a pool now, whoever launched them."""
    which = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    ids = [run.run_id for run in instance.get_runs(which) if is_in_pool(run)]
    return run_facts(instance, dg.RunsFilter(run_ids=ids)) if ids else []


def newest_change_at_vendor(settings: Settings) -> str:
    """ISO 8601: when the vendor last changed an active ticker. Raises PolygonApiError."""
    from polygon_assets.clients.polygon import PolygonApiError, PolygonRest

    rest = PolygonRest(settings, patience_seconds=LOOK_SECONDS)
    newest = [
        next(
            iter(
                rest.list_tickers(
                    market=market, active=True, sort="last_updated_utc", order="desc", limit=1
                )
            ),
            None,
        )
        for market in ("stocks", "otc")
    ]
    stamps: list[str] = [
        ticker.last_updated_utc for ticker in newest if ticker and ticker.last_updated_utc
    ]
    if not stamps:
        raise PolygonApiError(
            f"{settings.polygon_rest_url} listed no active ticker with a time of change"
        )
    return max(stamps)


def _left_behind(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    sources: Sequence[dg.AssetKey],
    days: Collection[dt.date],
    now: dt.datetime,
) -> set[dt.date]:
    """Days that all sources have, and that were not made since the newest of them, although automation has had its turn."""
    made = _newest_events(instance, key, days)
    found = [_newest_events(instance, source, days) for source in sources]
    ready = {
        day: max(events[day] for events in found)
        for day in days
        if all(day in events for events in found)
    }
    behind = {day for day, event in ready.items() if event > made.get(day, 0)}
    moments = [materialized_at(instance, source, behind) for source in sources]
    return {
        day
        for day in behind
        if all(now - at[day] > AUTOMATIONS_TURN for at in moments if day in at)
    }


def _newest_events(
    instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[dt.date]
) -> dict[dt.date, int]:
    """The number of each day's newest materialization; numbers grow. Years of days are asked for at every tick, so no event is read."""
    which = {day.isoformat() for day in days}
    newest = instance.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, which
    )
    return {dt.date.fromisoformat(partition): number for partition, number in newest.items()}


def _moments(records: Iterable[dg.EventLogRecord]) -> Iterable[tuple[dt.date, dt.datetime]]:
    for record in records:
        if record.partition_key:
            yield (
                dt.date.fromisoformat(record.partition_key),
                dt.datetime.fromtimestamp(record.timestamp, dt.UTC),
            )
