"""Runs parts of the graph against the embedded servers, and reads what the runs recorded.

Servers, their settings and the steps of single tests belong to test_batch_graph.py.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg

from polygon_assets.definitions import build_defs
from polygon_assets.defs.batch.decisions import settled_days
from polygon_assets.defs.graph.resources import Airbyte, Environment
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.settings import Settings

COMPANIES = 40


class _SameNewestDay(MarketCalendar):
    """The NYSE's calendar, on which no further day settles while the tests run."""

    _started = dt.datetime.now(dt.UTC)

    def newest_settled_day(self, now: dt.datetime) -> dt.date:
        return super().newest_settled_day(min(now, self._started))


CALENDAR = _SameNewestDay("NYSE")
DAYS = settled_days(CALENDAR, dt.datetime.now(dt.UTC), 6)
SUBSCRIBED = ("AAPL", "MSFT", "NVDA")


class Graph:
    """The definitions over the stack, and an instance that records their runs."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        class StackEnvironment(Environment):
            def settings(self) -> Settings:
                return settings

            def calendar(self) -> MarketCalendar:
                return CALENDAR

        self.instance = instance
        self.environment = StackEnvironment()
        self._defs = build_defs(
            settings, {"environment": self.environment, "airbyte": Airbyte(poll_seconds=0.2)}
        )

    def run(
        self,
        *keys: dg.AssetKey,
        day: dt.date | None = None,
        days: Sequence[dt.date] = (),
        config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run these assets once: without partitions, for a day, or for a range of days."""
        assets = {id(asset): asset for asset in map(self._defs.resolve_assets_def, keys)}
        ends = {"start": days[0], "end": days[-1]} if days else {}
        return dg.materialize(
            list(assets.values()),
            instance=self.instance,
            partition_key=day.isoformat() if day else None,
            tags={
                f"dagster/asset_partition_range_{name}": end.isoformat()
                for name, end in ends.items()
            },
            run_config=config,
            raise_on_error=False,
        )

    def tick(self, sensor: dg.SensorDefinition) -> dg.SensorResult:
        """Evaluate a sensor once."""
        with dg.build_sensor_context(
            self.instance, resources={"environment": self.environment}
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult), result
        return result

    def skip_reason(self, sensor: dg.SensorDefinition) -> str:
        reason = self.tick(sensor).skip_reason
        assert isinstance(reason, dg.SkipReason)
        return reason.skip_message or ""

    def metadata(self, key: dg.AssetKey, day: dt.date | None = None) -> dict[str, Any]:
        """The metadata of the newest materialization."""
        records = dg.AssetRecordsFilter(key, asset_partitions=[day.isoformat()] if day else None)
        [newest] = self.instance.fetch_materializations(records, limit=1).records
        event = newest.asset_materialization
        assert event
        return {name: value.value for name, value in event.metadata.items()}


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    """The description of the failed step's error."""
    [event] = result.filter_events(lambda event: event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure, event.step_failure_data.error
    return failure.description or ""


def failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    return [
        f"{check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]


def market() -> Market:
    """The simulated market of the exchange."""
    return Market(tickers=COMPANIES, calendar=CALENDAR)
