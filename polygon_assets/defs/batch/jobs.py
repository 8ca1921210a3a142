"""The jobs of the batch half: loads of days and reference data, tables that automation left out.

Add a job of Snowflake's tables here; when it runs belongs to `schedules` and `sensors`.
"""

import dagster as dg

from polygon_assets.defs.graph.keys import (
    DAILY_OPEN_CLOSE,
    FACT_DAILY_TRADING,
    GROUPED_DAILY,
    REFERENCE_TABLES,
    STREAM_VS_BATCH,
)

SYNC_REFERENCE = dg.define_asset_job(
    "sync_reference",
    selection=dg.AssetSelection.assets(*REFERENCE_TABLES),
    description="Syncs the reference data through Airbyte; automation builds the marts afterwards.",
)
LOAD_DAYS = dg.define_asset_job(
    "load_days",
    selection=dg.AssetSelection.assets(GROUPED_DAILY, DAILY_OPEN_CLOSE),
    description="Loads trading days: the newest one by an Airbyte sync, past ones by REST; "
    "automation builds the marts afterwards.",
)
BUILD_FACTS = dg.define_asset_job(
    "build_facts",
    selection=dg.AssetSelection.assets(FACT_DAILY_TRADING),
    description="Builds trading days of the fact table again, where automation did not succeed; "
    "a repetition replaces them.",
)
COMPARE_DAYS = dg.define_asset_job(
    "compare_days",
    selection=dg.AssetSelection.assets(STREAM_VS_BATCH),
    description="Compares a closed trading day with the vendor's bars again, where automation did "
    "not succeed; a repetition replaces the comparison.",
)
