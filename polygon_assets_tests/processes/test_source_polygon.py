"""The connector, as Airbyte runs it, against the simulated exchange: complete syncs, no row lost.

The tests share one long first sync (`first`); what needs no first sync, such as crashes and
refusals, belongs to test_source_polygon_failures.py.
"""

import datetime as dt
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

import pytest

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.airbyte.connector_state import with_new_tickers
from polygon_assets.batch.raw.daily_records import daily_open_close, grouped_daily
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.rest import aggregates, reference
from polygon_assets.market_calendar import NEW_YORK, ONE_DAY
from polygon_assets_tests import market_bars
from polygon_assets_tests.processes.source_polygon_harness import Connector, Output, Record
from polygon_assets_tests.processes.source_polygon_week import (
    BY_DAY,
    FRIDAY,
    LATER,
    LISTS,
    MONDAY,
    NOW,
    TRADING_DAYS,
    WEDNESDAY,
    by_ticker,
    connector,
    connector_of,
    every_ticker,
    exchange,
    exchange_at,
    market,
    newest_changes,
    requests_during,
    rest,
    server,
)
from polygon_assets_tests.unit.local.exchange.harness import RunningExchange

__all__ = ["connector", "exchange", "market", "rest", "server"]


@pytest.fixture(scope="module")
def first(server: RunningExchange, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A first sync of all streams, during which each kind of path fails once."""
    server.clear_faults()
    server.control("rest", status=503, path="/v2/aggs")
    server.control("rest", status=429, retry_after=1, path="/v3/reference/tickers")
    server.control("rest", status=429, empty=True, path="/v1/open-close")
    connector = connector_of(server, tmp_path_factory.mktemp("first"))
    return connector.with_config(open_close_tickers=["AAPL", "BRK.B", "NOPE"]).run(
        "read", streams()
    )


def without_nulls(records: list[Record]) -> list[Record]:
    """The records as the connector writes them: without null fields."""
    return [
        {name: value for name, value in record.items() if value is not None} for record in records
    ]


def test_check_accepts_the_key_or_names_the_cure(connector: Connector) -> None:
    connectors = (
        connector,
        connector.with_config(api_key="wrong"),
        connector.with_config(start_date="yesterday"),
    )
    with ExitStack() as stack:
        started = [stack.enter_context(connector.running("check")) for connector in connectors]
        good, unknown, unusable = (running.finish().connection for running in started)
    assert good["status"] == "SUCCEEDED"
    assert unknown["status"] == "FAILED"
    assert (
        "rejected this API key (HTTP 401). Copy the key from the account's dashboard"
        in unknown["message"]
    )
    assert unusable["status"] == "FAILED"
    assert "'yesterday' does not match" in unusable["message"]


def test_discover_offers_the_streams_of_the_manifest(connector: Connector) -> None:
    offered = {stream["name"]: stream for stream in connector.run("discover").catalog}
    assert list(offered) == list(streams())
    for name, stream in streams().items():
        assert offered[name]["json_schema"]["properties"] == stream.properties
        assert offered[name]["source_defined_primary_key"] == [[key] for key in stream.primary_key]
        assert offered[name].get("default_cursor_field", []) == (
            [stream.cursor] if stream.cursor else []
        )
        assert ("incremental" in offered[name]["supported_sync_modes"]) == bool(stream.cursor)


def test_a_first_sync_reads_all_reference_data_despite_failures_and_repeated_tickers(
    first: Output, market: Market
) -> None:
    assert (first.code, first.errors) == (0, [])
    assert first.records["exchanges"] == reference.exchanges({})
    assert first.records["ticker_types"] == reference.ticker_types({})
    assert (
        first.records["stock_split"]
        == reference.splits_v1(market, {"limit": "5000", "sort": "execution_date.asc"}, NOW).records
    )
    assert len(first.records["tickers"]) > len(by_ticker(first.records["tickers"]))
    assert by_ticker(first.records["tickers"]) == every_ticker(market, NOW)


def test_every_trading_day_is_read_with_every_bar_to_the_last_digit(
    first: Output, market: Market
) -> None:
    records = first.records["grouped_daily"]
    assert {record["date"] for record in records} == {str(day) for day in TRADING_DAYS}
    names = ("open", "high", "low", "close", "vwap", "transactions")
    for day in TRADING_DAYS:
        read = {record["ticker"]: record for record in records if record["date"] == str(day)}
        truth = {str(bar["symbol"]): bar for bar in market_bars.grouped(market, day)}
        assert read.keys() == truth.keys()
        for ticker, record in read.items():
            assert [record[name] for name in names] == [truth[ticker][name] for name in names]
            assert float(record["volume"]) == truth[ticker]["volume"]
            assert record["otc"] == market.universe.otc[market.universe.index[ticker]]
    volumes = [record["volume"] for record in records]
    assert any("." in volume for volume in volumes)
    assert not any("e" in volume or volume.endswith(".0") for volume in volumes)
    friday = next(record for record in records if record["date"] == str(FRIDAY))
    assert dt.datetime.fromtimestamp(friday["window_start_ms"] / 1000, NEW_YORK).hour == 13


def test_official_prices_are_exact_and_a_ticker_without_a_bar_has_no_record(
    first: Output, market: Market
) -> None:
    names = {
        "symbol": "ticker",
        "from": "date",
        "preMarket": "pre_market",
        "afterHours": "after_hours",
    }
    answers = [
        aggregates.open_close(market, ticker, day, {"adjusted": "false"}, NOW) or {}
        for day in TRADING_DAYS
        for ticker in ("AAPL", "BRK.B")
    ]
    truth = [
        {names.get(name, name): value for name, value in answer.items() if name != "status"}
        | {"volume": str(answer["volume"]), "invalid_values": 0}
        for answer in answers
    ]
    assert sorted(first.records["daily_open_close"], key=BY_DAY) == truth


def test_a_day_fetched_by_rest_has_the_records_of_the_connector(
    first: Output, rest: PolygonRest
) -> None:
    days = [WEDNESDAY + offset * ONE_DAY for offset in range(7)]
    grouped = [record for day in days for record in grouped_daily(rest, day)]
    prices = [
        record for day in days for record in daily_open_close(rest, day, ["AAPL", "BRK.B", "NOPE"])
    ]
    for name, records in (("grouped_daily", grouped), ("daily_open_close", prices)):
        assert list(records[0]) == list(streams()[name].properties)
        assert sorted(without_nulls(records), key=BY_DAY) == sorted(first.records[name], key=BY_DAY)


def test_a_second_sync_of_unchanged_data_repeats_only_the_newest_records(
    first: Output, connector: Connector
) -> None:
    """In daily_open_close a new ticker starts at the start date; a doubled ticker counts once."""
    states = deepcopy(
        {name: first.states[name] for name in ("tickers", "grouped_daily", "daily_open_close")}
    )
    tickers = ["AAPL", "AAPL", "MSFT"]
    content = with_new_tickers(first.state_of("daily_open_close"), tickers, WEDNESDAY)
    states["daily_open_close"]["stream"]["stream_state"] = content
    second = connector.with_config(open_close_tickers=tickers).run(
        "read", states, list(states.values())
    )
    assert second.code == 0
    assert {record["date"] for record in second.records["grouped_daily"]} == {str(MONDAY)}
    prices = [(record["ticker"], record["date"]) for record in second.records["daily_open_close"]]
    assert sorted(prices) == [("AAPL", str(MONDAY)), *(("MSFT", str(day)) for day in TRADING_DAYS)]
    assert {record["last_updated_utc"] for record in second.records["tickers"]} == newest_changes(
        first
    )
    assert second.state_of("tickers")["states"] == first.state_of("tickers")["states"]


def test_months_later_one_request_per_list_reads_only_the_changed_tickers(
    first: Output, market: Market, tmp_path: Path
) -> None:
    with exchange_at(LATER) as later:
        connector = connector_of(later, tmp_path)
        output, requests = requests_during(
            later, lambda: connector.run("read", ["tickers"], [first.states["tickers"]])
        )
    assert requests == len(LISTS)
    before, after = every_ticker(market, NOW), every_ticker(market, LATER)
    assert (
        by_ticker(first.records["tickers"]) | by_ticker(output.records["tickers"]) == before | after
    )
    changed = {ticker for ticker in after if after[ticker] != before.get(ticker)}
    assert any(
        not after[ticker]["active"] and before[ticker]["active"]
        for ticker in changed & before.keys()
    )
    assert changed - before.keys()
    newest = {
        ticker
        for ticker, record in before.items()
        if record["last_updated_utc"] in newest_changes(first)
    }
    assert changed <= by_ticker(output.records["tickers"]).keys() <= changed | newest


def test_without_an_end_date_the_last_day_is_today_in_new_york(
    exchange: RunningExchange, connector: Connector
) -> None:
    days = {"start_date": str(dt.datetime.now(NEW_YORK).date() - ONE_DAY), "end_date": ""}
    output, requests = requests_during(
        exchange, lambda: connector.with_config(**days).run("read", ["grouped_daily"])
    )
    assert output.code == 0
    assert requests in (2, 3)  # 3 if New York's midnight passed during the test
