"""Thanksgiving week 2026 at the simulated exchange, and what the connector must read of it.

The week has a holiday (Thursday), an early close (Friday) and a weekend; the exchange's clock shows
the Tuesday after, before the open. Running the connector belongs to source_polygon_harness.py.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.rest import reference
from polygon_assets.local.exchange.rest.query import opened
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.source_polygon_harness import Connector, Output, Record
from polygon_assets_tests.unit.local.exchange.harness import (
    KEY,
    SEED,
    RunningExchange,
    running_exchange,
)

# Three pages of active stocks.
TICKERS = 2_300
WEDNESDAY, FRIDAY, MONDAY, TUESDAY = (
    dt.date(2026, *day) for day in ((11, 25), (11, 27), (11, 30), (12, 1))
)
TRADING_DAYS = (WEDNESDAY, FRIDAY, MONDAY)
NOW = dt.datetime(2026, 12, 1, 3, tzinfo=NEW_YORK)
# Some tickers are listed and some delisted in the months until then.
LATER = dt.datetime(2027, 3, 1, 3, tzinfo=NEW_YORK)
BY_DAY = itemgetter("date", "ticker")
LISTS = [(market, active) for market in ("stocks", "otc") for active in ("true", "false")]


def exchange_at(moment: dt.datetime) -> Any:
    clock = ("--replay", str(moment.date()), "--replay-from", f"{moment:%H:%M}")
    return running_exchange(*clock, "--tickers", str(TICKERS), "--calendar", "NYSE")


def connector_of(exchange: RunningExchange, folder: Path) -> Connector:
    days = {"start_date": str(WEDNESDAY), "end_date": str(TUESDAY)}
    return Connector(
        folder,
        {
            "api_key": KEY,
            "base_url": f"http://{exchange.address}",
            "requests_per_minute": 0,
            **days,
        },
    )


def rest_client(exchange: RunningExchange) -> PolygonRest:
    """The project's REST client of this exchange."""
    return PolygonRest(
        Settings(
            polygon_api_key=SecretStr(KEY),
            polygon_rest_url=f"http://{exchange.address}",
            polygon_requests_per_minute=0,
        )
    )


def listed(market: Market, name: str, active: str, now: dt.datetime) -> list[Record]:
    """One of the exchange's lists of tickers, from its own code."""
    query: dict[str, str] = {"market": name, "active": active, "limit": "1000"}
    page = reference.tickers(market, query, now)
    records = page.records
    while page.cursor:
        page = reference.tickers(market, opened({"cursor": page.cursor}), now)
        records += page.records
    return records


def every_ticker(market: Market, now: dt.datetime) -> dict[str, Record]:
    """Every ticker by symbol, with the vendor's nanoseconds cut to microseconds."""
    records = [record for name, active in LISTS for record in listed(market, name, active, now)]
    return {
        record["ticker"]: record | {"last_updated_utc": f"{record['last_updated_utc'][:26]}Z"}
        for record in records
    }


def by_ticker(records: list[Record]) -> dict[str, Record]:
    return {record["ticker"]: record for record in records}


def newest_changes(output: Output) -> set[str]:
    """The newest change that the state has for each list of tickers."""
    return {state["cursor"]["last_updated_utc"] for state in output.state_of("tickers")["states"]}


def requests_during(exchange: RunningExchange, action: Callable[[], Output]) -> tuple[Output, int]:
    before = exchange.stats()["rest_requests"]
    return action(), exchange.stats()["rest_requests"] - before


@pytest.fixture(scope="module")
def server() -> Iterator[RunningExchange]:
    with exchange_at(NOW) as running:
        yield running


@pytest.fixture
def exchange(server: RunningExchange) -> RunningExchange:
    server.clear_faults()
    return server


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SEED, TICKERS)


@pytest.fixture
def connector(exchange: RunningExchange, tmp_path: Path) -> Connector:
    return connector_of(exchange, tmp_path)


@pytest.fixture
def rest(exchange: RunningExchange) -> PolygonRest:
    return rest_client(exchange)
