"""The connector, as Airbyte runs it, against the simulated exchange in Thanksgiving week 2026.

The week has a holiday (Thursday), an early close (Friday) and a weekend; the exchange's clock shows
the Tuesday after, before the open. Unusable answers belong to test_source_polygon_answers.py.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.airbyte.connector_state import with_new_tickers
from polygon_assets.batch.raw.daily_records import daily_open_close, grouped_daily
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.rest import aggregates, reference
from polygon_assets.local.exchange.rest.query import opened
from polygon_assets.market_calendar import NEW_YORK, ONE_DAY
from polygon_assets.settings import Settings
from polygon_assets_tests.processes import vendor_by_path
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.source_polygon_harness import Connector, Output, Record
from polygon_assets_tests.unit.clients.scripted_server import Answer, serving
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


@pytest.fixture
def connector(exchange: RunningExchange, tmp_path: Path) -> Connector:
    return connector_of(exchange, tmp_path)


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


@pytest.fixture
def rest(exchange: RunningExchange) -> PolygonRest:
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
        truth = {str(bar["symbol"]): bar for bar in market.grouped(day)}
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
        | {"volume": str(answer["volume"])}
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


def test_a_ticker_without_a_stamp_is_read_and_changes_neither_state_nor_paging(
    tmp_path: Path,
) -> None:
    known, newer = "2026-11-20T00:00:00.000000Z", "2026-11-21T00:00:00.000000Z"
    partitions = [{"market": name, "active": active} for name, active in LISTS]
    state = {
        "states": [
            {"partition": partition, "cursor": {"last_updated_utc": known}}
            for partition in partitions
        ]
    }
    descriptor = {"stream_descriptor": {"name": "tickers"}, "stream_state": state}
    tickers = [
        {"ticker": "NEW", "market": "stocks", "last_updated_utc": newer},
        {"ticker": "OLD", "market": "otc"},
    ]
    path = "/v3/reference/tickers"
    page = {"results": tickers, "next_url": f"https://api.massive.com{path}?cursor=2"}
    with vendor_by_path.serving({path: [page], f"{path}?cursor=2": [{"results": tickers}]}) as api:
        connector = Connector(
            tmp_path,
            {
                "api_key": KEY,
                "base_url": api.url,
                "requests_per_minute": 0,
                "start_date": str(WEDNESDAY),
            },
        )
        output = connector.run("read", ["tickers"], [{"type": "STREAM", "stream": descriptor}])
        assert (output.code, len(api.requests)) == (0, 2 * len(LISTS))
    assert {
        (record["ticker"], record["last_updated_utc"]) for record in output.records["tickers"]
    } == {("NEW", newer), ("OLD", known)}
    assert newest_changes(output) == {newer}


def test_an_unusable_answer_is_retried_and_never_counts_as_empty(
    tmp_path: Path,
) -> None:
    soon = {"Retry-After": "0.1"}
    unusable: list[Answer] = [
        (200, b"<html>Back soon</html>", soon),
        (200, b'{"status": "OK", "resu', soon),
        (200, {"status": "ERROR"}, soon),
    ]
    bar = {"T": "A", "v": 1}
    answers: dict[str, Any] = {
        "stock_split": {"status": "OK", "results": [{"id": "1"}]},
        "grouped_daily": {"status": "DELAYED", "results": [bar]},
        "daily_open_close": {"status": "OK", "symbol": "A", "volume": 1},
    }
    days = {"start_date": str(MONDAY), "end_date": str(MONDAY), "open_close_tickers": ["A"]}
    with ExitStack() as stack:
        running = {}
        for name, answer in answers.items():
            api = stack.enter_context(serving())
            api.script = [*unusable, (200, answer)]
            (folder := tmp_path / name).mkdir()
            config = {
                "api_key": KEY,
                "base_url": f"http://127.0.0.1:{api.server_port}",
                "requests_per_minute": 0,
                **days,
            }
            running[name] = stack.enter_context(Connector(folder, config).running("read", [name]))
        outputs = {name: process.finish() for name, process in running.items()}
    assert {
        name: (output.code, len(output.records.get(name, ()))) for name, output in outputs.items()
    } == dict.fromkeys(answers, (0, 1))


def test_the_rate_limit_holds_and_a_crash_while_reading_tickers_loses_no_ticker(
    exchange: RunningExchange, connector: Connector, market: Market
) -> None:
    before = exchange.stats()["rest_requests"]
    with connector.with_config(requests_per_minute=3).running("read", ["tickers"]) as running:
        eventually(
            lambda: exchange.stats()["rest_requests"] == before + 3,
            "the three requests of the minute",
        )
        # No event to wait for: the test shows that no request follows. Without the limit the whole
        # sync takes two seconds.
        time.sleep(2)
        assert exchange.stats()["rest_requests"] == before + 3
        running.read_until(lambda output: output.records.get("tickers"))
        crashed = running.kill()
    assert crashed.records["tickers"]
    resumed = connector.run("read", ["tickers"], list(crashed.states.values()))
    kept = crashed.committed.get("tickers", [])
    assert by_ticker(kept + resumed.records["tickers"]) == every_ticker(market, NOW)


def test_a_crash_during_the_first_day_with_later_days_done_loses_no_day(
    exchange: RunningExchange, connector: Connector, market: Market
) -> None:
    """The resumed sync also shows that an empty list of tickers is no failure."""
    exchange.control(
        "rest",
        status=429,
        retry_after=50,
        path=f"/v2/aggs/grouped/locale/us/market/stocks/{WEDNESDAY}",
    )
    with connector.running("read", ["grouped_daily"]) as running:
        running.read_until(
            lambda output: (
                output.records.get("grouped_daily", [{"date": ""}])[-1]["date"] == str(MONDAY)
            )
        )
        crashed = running.kill()
    assert {record["date"] for record in crashed.committed["grouped_daily"]} == {str(FRIDAY)}
    resumed = connector.run(
        "read", ["grouped_daily", "daily_open_close"], list(crashed.states.values())
    )
    assert resumed.code == 0
    assert "daily_open_close" not in resumed.records
    read = {
        (record["date"], record["ticker"])
        for record in crashed.committed["grouped_daily"] + resumed.records["grouped_daily"]
    }
    assert read == {
        (str(day), str(bar["symbol"])) for day in TRADING_DAYS for bar in market.grouped(day)
    }


def test_a_permanent_refusal_ends_its_stream_at_once_with_the_cure(
    exchange: RunningExchange, connector: Connector, rest: PolygonRest
) -> None:
    """A missing entitlement and a revoked key are permanent; a day that is not over is empty."""
    exchange.control("refuse", entitlement="/v3/reference/tickers", today=True)
    # The exchange sends each 401 once, so a retried request would succeed.
    for path in ("/v3/reference/exchanges", f"/v1/open-close/AAPL/{MONDAY}"):
        exchange.control("rest", status=401, path=path)
    streams_read = ["exchanges", "ticker_types", "grouped_daily", "daily_open_close"]
    config = connector.with_config(start_date=str(MONDAY), open_close_tickers=["AAPL"])
    output, requests = requests_during(exchange, lambda: config.run("read", streams_read))
    # Ticker types, two days of bars, one day of prices; the exchange does not count its 401s.
    assert (output.code, requests) == (1, 4)
    assert any(
        "does not include" in error and "/v3/reference/tickers/types (HTTP 403" in error
        for error in output.errors
    )
    assert any("upgrade the plan" in error for error in output.errors)
    unknown_key = [
        error
        for error in output.errors
        if "rejected this API key (HTTP 401). Copy the key from the account's" in error
    ]
    assert len(unknown_key) == 2
    assert output.records.keys() == {"grouped_daily"}
    assert output.state_of("grouped_daily")["date"].startswith(str(MONDAY))
    assert grouped_daily(rest, TUESDAY) == []


def test_days_outside_the_plan_do_not_end_the_stream_of_official_prices(
    tmp_path: Path,
) -> None:
    """A ticker that is new there starts at the start date, which the plan may no longer cover.

    grouped_daily still fails with the vendor's words: there such a start date is a mistake, and it
    shows on the first day.
    """
    message = (
        "Your plan doesn't include this data timeframe. "
        "Please upgrade your plan at https://massive.com/pricing"
    )
    too_old: Answer = (403, {"status": "NOT_AUTHORIZED", "message": message})
    days = {"start_date": str(WEDNESDAY), "end_date": str(FRIDAY), "open_close_tickers": ["NEW"]}
    with serving() as api:
        config = {
            "api_key": KEY,
            "base_url": f"http://127.0.0.1:{api.server_port}",
            "requests_per_minute": 0,
            **days,
        }
        api.script = [
            too_old,
            too_old,
            (200, {"status": "OK", "symbol": "NEW", "volume": 1}),
            too_old,
        ]
        output = Connector(tmp_path, config).run("read", ["daily_open_close"])
        refused = Connector(tmp_path, {**config, "end_date": str(WEDNESDAY)}).run(
            "read", ["grouped_daily"]
        )
    assert (output.code, len(output.records["daily_open_close"])) == (0, 1)
    assert refused.code == 1
    assert any("data timeframe" in error for error in refused.errors)


def test_without_an_end_date_the_last_day_is_today_in_new_york(
    exchange: RunningExchange, connector: Connector
) -> None:
    days = {"start_date": str(dt.datetime.now(NEW_YORK).date() - ONE_DAY), "end_date": ""}
    output, requests = requests_during(
        exchange, lambda: connector.with_config(**days).run("read", ["grouped_daily"])
    )
    assert output.code == 0
    assert requests in (2, 3)  # 3 if New York's midnight passed during the test
