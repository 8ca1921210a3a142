"""Weeks with a holiday and an early close, from the vendor to the facts and the comparison.

Ordinary days belong to test_batch_graph.py.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from polygon_assets.batch.airbyte.connector import DAILY_CONNECTION
from polygon_assets.batch.day_comparison import compare_day
from polygon_assets.batch.marts import MARTS, build
from polygon_assets.batch.raw.load_days import DailyLoad, MetadataByTable
from polygon_assets.clients import snowflake, subscription_store
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.defs.batch.airbyte_sync import run_sync
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import accept
from polygon_assets_tests import market_bars
from polygon_assets_tests.processes.batch_truth import PRICES, Row, bars_of, stream_seconds

SERVERS = ("exchange", "s3", "clickhouse", "snowflake", "airbyte")
COMPANIES = 40
NOW = dt.datetime(2026, 12, 1, 9, 0, tzinfo=NEW_YORK)
EXCHANGE_OPTIONS = (
    "--calendar",
    "NYSE",
    "--tickers",
    str(COMPANIES),
    "--replay",
    "2026-12-01",
    "--replay-from",
    "09:00",
)
CALENDAR = MarketCalendar("NYSE")
# Labor Day is Monday the 7th; Thanksgiving is the 26th, and the day after closes three hours early.
LABOR_DAY_WEEK = [dt.date(2026, 9, day) for day in (3, 4, 8, 9)]
THANKSGIVING_WEEK = [dt.date(2026, 11, day) for day in (24, 25, 27, 30)]
EARLY_CLOSE = dt.date(2026, 11, 27)


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    settings = stack.settings().model_copy(update={"market_calendar": "NYSE"})
    accepted = accept("channel\nA.AAPL\n", ("A.AAPL",), "etag", "2026-01-01T00:00:00+00:00")
    subscription_store.connect(settings).publish(accepted)
    return settings


def load(
    settings: Settings, reported: dict[dt.date, MetadataByTable], now: dt.datetime
) -> DailyLoad:
    return DailyLoad(
        settings,
        CALENDAR,
        FIRST_DAY,
        now.astimezone(dt.UTC),
        reported.__setitem__,
        lambda _days: {},
        lambda _text: None,
    )


def assert_facts_are_the_truth(
    settings: Settings, ask: Callable[[str], list[Row]], days: list[dt.date]
) -> None:
    with closing(snowflake.connect(settings)) as connection:
        for day in days:
            build(connection, MARTS["fact_daily_trading"], day)
    within = f"trading_day BETWEEN '{days[0]}' AND '{days[-1]}'"
    facts = ask(
        f"SELECT ticker, trading_day, {', '.join(PRICES)}, volume "
        f"FROM MARTS.FACT_DAILY_TRADING WHERE {within}"
    )
    assert sorted(facts) == bars_of(Market(tickers=COMPANIES, calendar=CALENDAR), days)


@pytest.mark.long
def test_one_sync_over_a_holiday_reports_each_trading_day_and_no_other(
    settings: Settings, ask: Callable[[str], list[Row]]
) -> None:
    with closing(AirbyteApi(settings)) as api:
        [source] = api.sources()
        ends = {"start_date": str(LABOR_DAY_WEEK[0]), "end_date": str(LABOR_DAY_WEEK[-1])}
        api.patch_source(source["sourceId"], {**ends, "open_close_tickers": ["AAPL"]})
    reported: dict[dt.date, MetadataByTable] = {}
    # Airbyte stamps records with the wall clock, and the replay is ahead of the wall clock.
    assert load(settings, reported, dt.datetime.now(dt.UTC)).sync(
        partial(run_sync, Airbyte(poll_seconds=0.2), settings, DAILY_CONNECTION), LABOR_DAY_WEEK[-1]
    )
    # If the other test of this module ran first, the days of its week are reported too.
    assert sorted(set(reported) - set(THANKSGIVING_WEEK)) == LABOR_DAY_WEEK
    assert_facts_are_the_truth(settings, ask, LABOR_DAY_WEEK)


@pytest.mark.long
def test_an_early_close_is_a_whole_day_for_the_facts_and_for_the_comparison(
    settings: Settings, ask: Callable[[str], list[Row]]
) -> None:
    reported: dict[dt.date, MetadataByTable] = {}
    assert load(settings, reported, NOW).fetch(THANKSGIVING_WEEK)
    assert sorted(reported) == THANKSGIVING_WEEK
    assert_facts_are_the_truth(settings, ask, THANKSGIVING_WEEK)
    [(official_close, day_close)] = ask(
        "SELECT official_close, close FROM MARTS.FACT_DAILY_TRADING "
        f"WHERE ticker = 'AAPL' AND trading_day = '{EARLY_CLOSE}'"
    )
    market = Market(tickers=COMPANIES, calendar=CALENDAR)
    closing_bell = dt.datetime.combine(EARLY_CLOSE, dt.time(13), NEW_YORK).timestamp() * 1000
    seconds = [
        bar
        for bar in market_bars.seconds(market, "AAPL", EARLY_CLOSE)
        if bar["start_ms"] < closing_bell
    ]
    assert (official_close, day_close) == (
        float(seconds[-1]["close"]),
        float(market_bars.daily(market, "AAPL", EARLY_CLOSE)[0]["close"]),
    )
    stream_seconds(settings, market, "AAPL", EARLY_CLOSE)
    compared = compare_day(settings, CALENDAR, EARLY_CLOSE)
    assert [comparison.symbol for comparison in compared.symbols] == ["AAPL"]
    assert compared.different == []
