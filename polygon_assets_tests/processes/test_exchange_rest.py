"""The REST side over real HTTP: bodies, errors, paging and agreement with the market's truth."""

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pytest
import requests

from polygon_assets.local.exchange.market import Market
from polygon_assets_tests.unit.local.exchange.harness import DAY, SEED, TICKERS, Message, RunningExchange, running_exchange

YESTERDAY = DAY - dt.timedelta(days=1)
SECONDS = "/v2/aggs/ticker/{}/range/1/second/{}/{}"


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    """A replay that stands at 11:00 New York and moves at the wall's speed."""
    with running_exchange("--replay", str(DAY), "--replay-from", "11:00", "--tickers", str(TICKERS)) as running:
        yield running


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SEED, TICKERS)


def all_pages(exchange: RunningExchange, path: str, **query: str) -> list[Message]:
    """Every result, following next_url with the key in a header, as the vendor wants it."""
    reply = exchange.json(path, **query)
    results: list[Message] = reply.get("results", [])
    while "next_url" in reply:
        assert "test-key" not in reply["next_url"]
        reply = requests.get(reply["next_url"], headers={"Authorization": "Bearer test-key"}, timeout=30).json()
        results += reply.get("results", [])
    return results


def test_a_liquid_day_of_seconds_does_not_fit_one_reply_and_its_pages_are_the_truth(exchange: RunningExchange, market: Market) -> None:
    path = SECONDS.format("AAPL", YESTERDAY, YESTERDAY)
    assert exchange.json(path, adjusted="false")["resultsCount"] == 5000
    results = all_pages(exchange, path, adjusted="false", limit="20000")
    truth = market.seconds("AAPL", YESTERDAY)
    assert len(results) == len(truth) > 20_000
    names = {"t": "start_ms", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap", "n": "transactions"}
    for short, name in names.items():
        assert np.array_equal([result[short] for result in results], truth[name]), name


def test_the_key_may_stand_in_the_query_and_never_comes_back(exchange: RunningExchange) -> None:
    url = f"http://{exchange.address}{SECONDS.format('AAPL', YESTERDAY, YESTERDAY)}"
    reply = requests.get(url, params={"apiKey": "test-key", "limit": "10"}, timeout=10).json()
    assert reply["resultsCount"] == 10
    assert "test-key" not in reply["next_url"]


def test_milliseconds_select_seconds_inclusively(exchange: RunningExchange, market: Market) -> None:
    starts = market.seconds("AAPL", YESTERDAY)["start_ms"][5000:5010]
    results = exchange.json(SECONDS.format("AAPL", starts[0], starts[-1]))["results"]
    assert [result["t"] for result in results] == starts.tolist()


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize(("window", "limit"), [("7/minute", 500), ("1/hour", 700), ("3/day", 4), ("45/second", 9_000)])
def test_pages_put_together_equal_one_page(exchange: RunningExchange, window: str, limit: int, sort: str) -> None:
    first = YESTERDAY if "second" in window else DAY - dt.timedelta(days=12)
    path = f"/v2/aggs/ticker/NVDA/range/{window}/{first}/{YESTERDAY}"
    whole = all_pages(exchange, path, limit="50000", sort="asc")
    paged = all_pages(exchange, path, limit=str(limit), sort=sort)
    assert (paged if sort == "asc" else paged[::-1]) == whole


def test_minutes_and_days_are_the_truths(exchange: RunningExchange, market: Market) -> None:
    minutes = all_pages(exchange, f"/v2/aggs/ticker/SPY/range/1/minute/{YESTERDAY}/{YESTERDAY}", adjusted="false")
    (day,) = exchange.json(f"/v2/aggs/ticker/SPY/range/1/day/{YESTERDAY}/{YESTERDAY}", adjusted="false")["results"]
    truth = market.day("SPY", YESTERDAY)[0]
    assert [minute["v"] for minute in minutes] == market.minutes("SPY", YESTERDAY)["volume"].tolist()
    assert (day["o"], day["h"], day["l"], day["c"], day["vw"], day["v"]) == tuple(truth[["open", "high", "low", "close", "vwap", "volume"]])


def test_grouped_daily_and_previous_day_and_open_close_tell_the_same_day(exchange: RunningExchange, market: Market) -> None:
    grouped = {record["T"]: record for record in exchange.json(f"/v2/aggs/grouped/locale/us/market/stocks/{YESTERDAY}")["results"]}
    (previous,) = exchange.json("/v2/aggs/ticker/MSFT/prev")["results"]
    daily = exchange.json(f"/v1/open-close/MSFT/{YESTERDAY}")
    assert grouped["MSFT"] == previous
    assert (daily["high"], daily["low"], daily["volume"]) == (previous["h"], previous["l"], previous["v"])
    assert (daily["open"], daily["close"]) == (previous["o"], previous["c"])
    assert "results" not in daily
    seconds = market.seconds("MSFT", YESTERDAY)
    assert (daily["preMarket"], daily["afterHours"]) == (seconds["open"][0], seconds["close"][-1])
    opened = seconds[seconds["start_ms"] >= 1000 * int(dt.datetime(2026, 11, 19, 14, 30, tzinfo=dt.UTC).timestamp())]
    assert daily["open"] == opened["open"][0]
    otc = {market.universe.symbols[number] for number in market.universe.otc.nonzero()[0]}
    assert not otc & grouped.keys()
    with_otc = exchange.json(f"/v2/aggs/grouped/locale/us/market/stocks/{YESTERDAY}", include_otc="true")["results"]
    assert otc & {record["T"] for record in with_otc}
    assert {record["T"] for record in with_otc if record.get("otc")} == otc & {record["T"] for record in with_otc}


def test_today_ends_at_the_exchange_clock(exchange: RunningExchange, market: Market) -> None:
    before = exchange.stats()["exchange_time"]
    seconds = all_pages(exchange, SECONDS.format("AAPL", DAY, DAY), limit="50000")
    after = exchange.stats()["exchange_time"]
    assert before - 60 < seconds[-1]["t"] / 1000 < after
    truth = market.seconds("AAPL", DAY)["start_ms"]
    assert [second["t"] for second in seconds] == truth[: len(seconds)].tolist()
    (day,) = exchange.json(f"/v2/aggs/ticker/AAPL/range/1/day/{DAY}/{DAY}")["results"]
    assert sum(second["v"] for second in seconds) <= day["v"] < market.day("AAPL", DAY)["volume"][0] / 2


@pytest.mark.parametrize("path", ["/v2/aggs/ticker/AAPL/range/1/day/2026-11-21/2026-11-22", "/v2/aggs/ticker/NOSUCH/prev"])
def test_an_empty_result_is_200_without_results(exchange: RunningExchange, path: str) -> None:
    reply = exchange.json(path)
    assert reply["resultsCount"] == 0
    assert "results" not in reply


def test_tickers_page_through_the_universe_and_repeat_some(exchange: RunningExchange, market: Market) -> None:
    records = all_pages(exchange, "/v3/reference/tickers", limit="50", market="stocks")
    symbols = [record["ticker"] for record in records]
    assert len(symbols) > len(set(symbols)) > 250
    assert symbols == sorted(symbols)
    assert set(symbols) <= set(market.universe.symbols)
    assert {"name", "market", "locale", "primary_exchange", "type", "active", "currency_name", "last_updated_utc"} <= records[0].keys()


def test_tickers_filters(exchange: RunningExchange) -> None:
    def found(**query: str) -> list[str]:
        return [record["ticker"] for record in exchange.json("/v3/reference/tickers", limit="1000", **query)["results"]]

    assert found(ticker="BRK.B") == ["BRK.B"]
    assert found(**{"ticker.gte": "AAPL", "ticker.lt": "AAPM"}) == ["AAPL"]
    assert {"SPY", "QQQ"} <= set(found(type="ETF"))
    assert "AAPL" in found(search="apple")
    assert "JPM" in found(exchange="XNYS")
    assert not set(found(active="false")) & set(found())
    assert set(found(market="otc")).isdisjoint(found(market="stocks"))


def test_the_newest_changes_come_first_and_some_change_each_day(exchange: RunningExchange) -> None:
    newest = exchange.json("/v3/reference/tickers", sort="last_updated_utc", order="desc", limit="1000")["results"]
    updated = [record["last_updated_utc"] for record in newest]
    assert updated == sorted(updated, reverse=True)
    assert updated[0] < "2026-11-20T16:10:00Z"
    assert updated[0] > "2026-11-15"
    assert updated[-1] < "2026-06"


def test_splits_at_both_addresses_agree(exchange: RunningExchange) -> None:
    old = exchange.json("/v3/reference/splits", limit="1000")["results"]
    new = exchange.json("/stocks/v1/splits", limit="5000", sort="execution_date.desc")["results"]
    assert {split["id"] for split in old} == {split["id"] for split in new}
    assert any("2026-10-21" <= split["execution_date"] <= "2026-11-20" for split in old)
    ascending = exchange.json("/stocks/v1/splits", sort="execution_date.asc", limit="5")["results"]
    assert [split["execution_date"] for split in ascending] == sorted(split["execution_date"] for split in ascending)
    assert exchange.get("/stocks/v1/splits", sort="colour.asc").status_code == 400
    forward = exchange.json("/stocks/v1/splits", adjustment_type="forward_split", limit="100")["results"]
    assert all(split["split_to"] > split["split_from"] for split in forward)
    newest = exchange.json("/stocks/v1/splits", **{"ticker": new[0]["ticker"], "execution_date.gte": new[0]["execution_date"]})["results"]
    assert newest[0]["historical_adjustment_factor"] == new[0]["split_from"] / new[0]["split_to"]


def test_types_exchanges_and_opening_hours(exchange: RunningExchange) -> None:
    types = {record["code"] for record in exchange.json("/v3/reference/tickers/types")["results"]}
    mics = {record.get("mic") for record in exchange.json("/v3/reference/exchanges")["results"]}
    tickers = exchange.json("/v3/reference/tickers", limit="1000", market="stocks")["results"]
    assert {record["type"] for record in tickers} <= types
    assert {record["primary_exchange"] for record in tickers} <= mics
    status = exchange.json("/v1/marketstatus/now")
    assert (status["market"], status["earlyHours"]) == ("open", False)
    assert status["serverTime"].startswith("2026-11-20T11:")
    upcoming = exchange.get("/v1/marketstatus/upcoming").json()
    assert upcoming[0] == {"date": "2026-11-26", "exchange": "NYSE", "name": "Holiday", "status": "closed"}
    early = next(row for row in upcoming if row["status"] == "early-close")
    assert (early["date"], early["close"]) == ("2026-11-27", "2026-11-27T18:00:00.000Z")


def test_error_bodies(exchange: RunningExchange) -> None:
    unknown = exchange.get("/v2/aggs/ticker/AAPL/prev", key="wrong")
    assert (unknown.status_code, unknown.json()["status"], unknown.json()["error"]) == (401, "ERROR", "Unknown API Key")
    missing = exchange.get("/v1/open-close/AAPL/2026-11-21")
    assert (missing.status_code, missing.json()["status"], missing.json()["message"]) == (404, "NOT_FOUND", "Data not found.")
    assert exchange.get("/v1/open-close/AAPL/yesterday").status_code == 403
    assert exchange.get("/v9/nothing").status_code == 404
    for path in (SECONDS.format("AAPL", DAY, YESTERDAY), SECONDS.format("AAPL", "x", DAY), "/v3/reference/tickers?limit=5000"):
        assert exchange.get(path).status_code == 400


def test_a_rate_limited_server_answers_429() -> None:
    with running_exchange("--rate-limit", "2", "--tickers", "50") as limited:
        answers = [limited.get("/v1/marketstatus/now").status_code for _ in range(3)]
    assert answers == [200, 200, 429]
