"""The batch half's environment with everything set, and what was materialized in an instance.

Environments of both halves belong to conftest; evaluating a sensor belongs to ticks.
"""

import datetime as dt

import dagster as dg
from pydantic import SecretStr

from polygon_assets.defs.graph.keys import DAILY_OPEN_CLOSE, GROUPED_DAILY
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.settings import Settings

CALENDAR = MarketCalendar("NYSE")
ALL_SET = Settings.model_construct(
    market_calendar="NYSE",
    daily_history_days=5,
    polygon_api_key=SecretStr("key"),
    snowflake_account="account",
    airbyte_workspace_id="workspace",
    airbyte_client_id="id",
    airbyte_client_secret=SecretStr("secret"),
)


class AllSet(Environment):
    def settings(self) -> Settings:
        return ALL_SET


def materialize(
    instance: dg.DagsterInstance, key: dg.AssetKey, *days: dt.date, **metadata: str
) -> None:
    for day in days or (None,):
        partition = day.isoformat() if day else None
        instance.report_runless_asset_event(
            dg.AssetMaterialization(key, partition=partition, metadata=metadata)
        )


def load(instance: dg.DagsterInstance, *days: dt.date) -> None:
    materialize(instance, GROUPED_DAILY, *days)
    materialize(instance, DAILY_OPEN_CLOSE, *days)
