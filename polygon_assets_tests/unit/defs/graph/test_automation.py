"""The automation conditions of the real graph, tick by tick, without a run."""

import datetime as dt
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

from polygon_assets.definitions import build_defs
from polygon_assets.defs.batch.decisions import settled_days
from polygon_assets.defs.graph.keys import (
    AIRBYTE_SOURCE,
    DAILY_OPEN_CLOSE,
    FACT_DAILY_TRADING,
    GROUPED_DAILY,
    REFERENCE_TABLES,
    STOCK_AGGREGATES,
    STREAM_VS_BATCH,
    SUBSCRIPTIONS,
    mart,
)
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.settings import Settings

ADJUSTED, REPORT = mart("daily_prices_adjusted"), mart("report_tickers")
DIMENSIONS = tuple(mart(name) for name in ("dim_exchange", "dim_ticker", "dim_stock_split"))


class Market:
    """The graph over an instance: what has been materialized, and what the next tick asks for."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._defs = build_defs(Settings.model_construct(market_calendar="NYSE"))
        self._cursor: AssetDaemonCursor | None = None
        self.first_tick = self.tick()

    def tick(self) -> dict[dg.AssetKey, AbstractSet[str | None]]:
        """What is requested, by asset."""
        found = dg.evaluate_automation_conditions(
            self._defs,
            instance=self._instance,
            asset_selection=dg.AssetSelection.groups("batch"),
            cursor=self._cursor,
        )
        self._cursor = found.cursor
        keys = {result.key for result in found.results if isinstance(result.key, dg.AssetKey)}
        return {
            key: partitions for key in keys if (partitions := found.get_requested_partitions(key))
        }

    def made(
        self, *keys: dg.AssetKey, days: Iterable[str | None] = (None,), checks_pass: bool = True
    ) -> None:
        """Materialize assets, and let their blocking checks pass or not."""
        for key in keys:
            for day in days:
                self._instance.report_runless_asset_event(
                    dg.AssetMaterialization(key, partition=day)
                )
            for check in self._defs.resolve_asset_graph().get_check_keys_for_assets({key}):
                evaluation = dg.AssetCheckEvaluation(
                    asset_key=key,
                    check_name=check.name,
                    passed=checks_pass,
                    metadata={},
                    severity=dg.AssetCheckSeverity.ERROR,
                    blocking=True,
                )
                self._instance.report_runless_asset_event(evaluation)


@pytest.fixture
def market(instance: dg.DagsterInstance) -> Market:
    return Market(instance)


@pytest.fixture
def days() -> list[str]:
    return [
        day.isoformat() for day in settled_days(MarketCalendar("NYSE"), dt.datetime.now(dt.UTC), 30)
    ]


def test_the_source_follows_the_subscriptions(market: Market) -> None:
    assert market.first_tick == {}
    market.made(SUBSCRIPTIONS)
    assert market.tick() == {AIRBYTE_SOURCE: {None}}
    assert market.tick() == {}


def test_the_source_follows_subscriptions_that_were_accepted_before_it_was_part_of_the_graph(
    instance: dg.DagsterInstance,
) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(SUBSCRIPTIONS))
    market = Market(instance)
    assert market.first_tick == {AIRBYTE_SOURCE: {None}}
    assert market.tick() == {}


def test_dimensions_follow_the_reference_data(market: Market) -> None:
    market.made(*REFERENCE_TABLES)
    assert set(market.tick()) == set(DIMENSIONS)


def test_the_fact_follows_its_days_however_old_they_are(market: Market, days: list[str]) -> None:
    market.made(GROUPED_DAILY, DAILY_OPEN_CLOSE, days=[days[0], days[-1]])
    assert market.tick() == {FACT_DAILY_TRADING: {days[0], days[-1]}}
    assert market.tick() == {}


def test_a_day_of_which_one_table_is_missing_waits(market: Market, days: list[str]) -> None:
    market.made(GROUPED_DAILY, days=days[-1:])
    assert market.tick() == {}
    market.made(DAILY_OPEN_CLOSE, days=days[-1:])
    assert market.tick() == {FACT_DAILY_TRADING: {days[-1]}}


def test_the_adjusted_prices_are_made_once_for_all_days_built_together(
    market: Market, days: list[str]
) -> None:
    market.made(*DIMENSIONS)
    market.tick()
    market.made(FACT_DAILY_TRADING, days=days)
    # The report is part of the same run.
    assert market.tick() == {ADJUSTED: {None}, REPORT: {None}}
    market.made(ADJUSTED, REPORT)
    assert market.tick() == {}


def test_they_wait_for_the_first_day(market: Market) -> None:
    market.made(*DIMENSIONS)
    assert ADJUSTED not in market.tick()


def test_a_fact_whose_check_failed_spreads_nowhere(market: Market, days: list[str]) -> None:
    market.made(*DIMENSIONS)
    market.tick()
    market.made(FACT_DAILY_TRADING, days=days[-1:], checks_pass=False)
    assert market.tick() == {}
    market.made(FACT_DAILY_TRADING, days=days[-1:])
    assert ADJUSTED in market.tick()


def test_a_closed_stream_day_is_compared_once_its_fact_is_built(
    market: Market, days: list[str]
) -> None:
    market.made(STOCK_AGGREGATES, days=days[-1:])
    assert market.tick() == {}
    market.made(FACT_DAILY_TRADING, days=days[-2:])
    assert market.tick()[STREAM_VS_BATCH] == {days[-1]}


def test_a_day_that_closes_late_is_compared_then(market: Market, days: list[str]) -> None:
    market.made(FACT_DAILY_TRADING, days=days[-3:])
    assert STREAM_VS_BATCH not in market.tick()
    market.made(STOCK_AGGREGATES, days=[days[-2]])
    assert market.tick() == {STREAM_VS_BATCH: {days[-2]}}
