"""The one assembly of the graph: every asset, check, job, schedule and sensor, listed.

Add a new definition to its list here; what it does belongs to `defs`. The graph loads with every
system down and nothing set, because whoever repairs something needs the picture most.
"""

from collections.abc import Mapping

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from polygon_assets.defs.assets import (
    airbyte,
    alerts_table,
    clickhouse,
    dead_letters,
    kafka,
    polygon,
    reconciliation,
    s3,
    snowflake_marts,
    snowflake_raw,
    stream_gaps,
    top_movers,
)
from polygon_assets.defs.batch import calendar_check
from polygon_assets.defs.batch import jobs as batch_jobs
from polygon_assets.defs.batch.schedules import daily_batch, reference_weekly
from polygon_assets.defs.batch.sensors import BATCH_SENSORS
from polygon_assets.defs.graph.alert_sensor import alerts
from polygon_assets.defs.graph.automation import AUTOMATION
from polygon_assets.defs.graph.live_page import linked
from polygon_assets.defs.graph.partitions import trading_days
from polygon_assets.defs.graph.resources import Airbyte, Environment, StreamPrograms
from polygon_assets.defs.stream import jobs as stream_jobs
from polygon_assets.defs.stream.checks import stream_checks
from polygon_assets.defs.stream.doubt_check import sample_agrees_with_rest
from polygon_assets.defs.stream.fill_gaps import fill_gaps, waive_gaps
from polygon_assets.defs.stream.replay_dead_letters import replay_dead_letters
from polygon_assets.defs.stream.schedules import checks_schedule, ohlcv_1m_while_open
from polygon_assets.defs.stream.sensors import STREAM_SENSORS
from polygon_assets.market_clock import calendar_of
from polygon_assets.settings import Settings, load_settings


def build_defs(
    settings: Settings | None = None, resource_overrides: Mapping[str, object] | None = None
) -> dg.Definitions:
    """The graph.

    Partition keys are part of it, and links to the live page, so the calendar and PAGE_URL are read
    while the graph is built; runs and ticks read all other settings when they need them.
    """
    settings = settings or load_settings()
    days = trading_days(calendar_of(settings))
    checks = [*stream_checks(), sample_agrees_with_rest]
    checks_job = stream_jobs.stream_checks(checks)
    return dg.Definitions(
        assets=linked(_assets(days), settings.page_url),
        asset_checks=[*checks, calendar_check.calendar_agrees],
        jobs=_jobs(checks_job),
        schedules=[
            checks_schedule(checks_job),
            ohlcv_1m_while_open,
            daily_batch,
            reference_weekly,
            calendar_check.calendar_daily,
        ],
        sensors=[*STREAM_SENSORS, *BATCH_SENSORS, alerts, AUTOMATION],
        resources={"environment": Environment(), "programs": StreamPrograms(), "airbyte": Airbyte()}
        | dict(resource_overrides or {}),
        # One process per run: a second one costs 2 s CPU, and it would survive the run's death.
        executor=dg.in_process_executor,
    )


def _jobs(
    checks_job: UnresolvedAssetJobDefinition,
) -> list[dg.JobDefinition | UnresolvedAssetJobDefinition]:
    """Every job, those of the stream first."""
    return [
        *stream_jobs.STREAM_JOBS,
        checks_job,
        stream_jobs.VALIDATE_SUBSCRIPTIONS,
        stream_jobs.REFRESH_OHLCV_1M,
        fill_gaps,
        waive_gaps,
        replay_dead_letters,
        batch_jobs.SYNC_REFERENCE,
        batch_jobs.LOAD_DAYS,
        batch_jobs.BUILD_FACTS,
        batch_jobs.COMPARE_DAYS,
        calendar_check.JOB,
    ]


def _assets(days: dg.PartitionsDefinition[str]) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Every asset, in the order in which data flows."""
    return [
        s3.subscriptions,
        polygon.WEBSOCKET_FEED,
        *kafka.SPECS,
        s3.ARCHIVE,
        clickhouse.stock_aggregates(days),
        *clickhouse.VIEW_SPECS,
        top_movers.top_movers,
        stream_gaps.stream_gaps,
        alerts_table.ALERTS,
        dead_letters.dead_letters,
        clickhouse.ohlcv_1m(days),
        polygon.REST,
        airbyte.polygon_source,
        snowflake_raw.sync_reference_tables,
        snowflake_raw.load_daily_tables(days),
        *snowflake_marts.marts(days),
        reconciliation.stream_vs_batch(days),
    ]


defs = build_defs()
