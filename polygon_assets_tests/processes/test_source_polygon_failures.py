"""The connector when a sync is cut off, limited or refused: nothing is lost, the cure is named.

Each path's unusable answers belong to test_source_polygon_answers.py, complete syncs to
test_source_polygon.py.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from polygon_assets.batch.raw.daily_records import grouped_daily
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.local.exchange.market.market import Market
from polygon_assets_tests import market_bars
from polygon_assets_tests.processes import vendor_by_path
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.source_polygon_harness import Connector
from polygon_assets_tests.processes.source_polygon_week import (
    FRIDAY,
    LISTS,
    MONDAY,
    NOW,
    TRADING_DAYS,
    TUESDAY,
    WEDNESDAY,
    by_ticker,
    connector,
    every_ticker,
    exchange,
    market,
    newest_changes,
    requests_during,
    rest,
    server,
)
from polygon_assets_tests.unit.clients.scripted_server import Answer, serving
from polygon_assets_tests.unit.local.exchange.harness import KEY, RunningExchange

__all__ = ["connector", "exchange", "market", "rest", "server"]


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


@pytest.mark.long
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
        (str(day), str(bar["symbol"]))
        for day in TRADING_DAYS
        for bar in market_bars.grouped(market, day)
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
