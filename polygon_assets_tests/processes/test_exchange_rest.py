"""The exchange's REST API besides its bars: reference data, keys, errors, parameters, paging.

Bars and their windows belong to test_exchange_aggregates.py.
"""

import operator

import pytest
import requests

from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.rest.reference import cusip_of
from polygon_assets_tests.processes.exchange_at_eleven import (
    SECONDS,
    YESTERDAY,
    exchange,
    market,
)
from polygon_assets_tests.unit.local.exchange.harness import (
    DAY,
    RunningExchange,
    all_pages,
    running_exchange,
)

__all__ = ["exchange", "market"]


def test_the_key_is_accepted_in_the_query_and_never_returned(exchange: RunningExchange) -> None:
    url = f"http://{exchange.address}{SECONDS.format('AAPL', YESTERDAY, YESTERDAY)}"
    reply = requests.get(url, params={"apiKey": "test-key", "limit": "10"}, timeout=10).json()
    assert reply["resultsCount"] == 10
    assert "test-key" not in reply["next_url"]


def test_pages_of_tickers_cover_the_universe_and_repeat_some(
    exchange: RunningExchange, market: Market
) -> None:
    records = all_pages(exchange, "/v3/reference/tickers", limit="50", market="stocks")
    symbols = [record["ticker"] for record in records]
    assert len(symbols) > len(set(symbols)) > 250
    assert symbols == sorted(symbols)
    assert set(symbols) <= set(market.universe.symbols)
    assert {
        "name",
        "market",
        "locale",
        "primary_exchange",
        "type",
        "active",
        "currency_name",
        "last_updated_utc",
    } <= records[0].keys()


def test_tickers_are_filtered(exchange: RunningExchange) -> None:
    def tickers(**query: str) -> list[str]:
        return [
            record["ticker"]
            for record in exchange.json("/v3/reference/tickers", limit="1000", **query)["results"]
        ]

    assert tickers(ticker="BRK.B") == ["BRK.B"]
    assert tickers(**{"ticker.gte": "AAPL", "ticker.lt": "AAPM"}) == ["AAPL"]
    assert {"SPY", "QQQ"} <= set(tickers(type="ETF"))
    assert "AAPL" in tickers(search="apple")
    assert "JPM" in tickers(exchange="XNYS")
    assert not set(tickers(active="false")) & set(tickers())
    assert set(tickers(market="otc")).isdisjoint(tickers(market="stocks"))


def test_the_newest_changes_come_first_and_some_change_each_day(exchange: RunningExchange) -> None:
    newest = exchange.json(
        "/v3/reference/tickers", sort="last_updated_utc", order="desc", limit="1000"
    )["results"]
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
    assert [split["execution_date"] for split in ascending] == sorted(
        split["execution_date"] for split in ascending
    )
    assert exchange.get("/stocks/v1/splits", sort="colour.asc").status_code == 400
    forward = exchange.json("/stocks/v1/splits", adjustment_type="forward_split", limit="100")[
        "results"
    ]
    assert all(split["split_to"] > split["split_from"] for split in forward)
    newest = exchange.json(
        "/stocks/v1/splits",
        **{"ticker": new[0]["ticker"], "execution_date.gte": new[0]["execution_date"]},
    )["results"]
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
    assert upcoming[0] == {
        "date": "2026-11-26",
        "exchange": "NYSE",
        "name": "Holiday",
        "status": "closed",
    }
    early = next(row for row in upcoming if row["status"] == "early-close")
    assert (early["date"], early["close"]) == ("2026-11-27", "2026-11-27T18:00:00.000Z")


def test_errors_have_the_vendors_statuses_and_bodies(exchange: RunningExchange) -> None:
    unknown = exchange.get("/v2/aggs/ticker/AAPL/prev", key="wrong")
    assert (unknown.status_code, unknown.json()["status"], unknown.json()["error"]) == (
        401,
        "ERROR",
        "Unknown API Key",
    )
    missing = exchange.get("/v1/open-close/AAPL/2026-11-21")
    assert (missing.status_code, missing.json()["status"], missing.json()["message"]) == (
        404,
        "NOT_FOUND",
        "Data not found.",
    )
    assert exchange.get("/v1/open-close/AAPL/yesterday").status_code == 403
    assert exchange.get("/v9/nothing").status_code == 404
    for path in (
        SECONDS.format("AAPL", DAY, YESTERDAY),
        SECONDS.format("AAPL", "x", DAY),
        "/v3/reference/tickers?limit=5000",
    ):
        assert exchange.get(path).status_code == 400


def test_lists_are_filtered_by_asset_class_and_locale(exchange: RunningExchange) -> None:
    for path in ("/v3/reference/tickers/types", "/v3/reference/exchanges"):
        everything = exchange.json(path)["results"]
        assert everything
        assert exchange.json(path, asset_class="stocks", locale="us")["results"] == everything
        for other in ({"asset_class": "crypto"}, {"asset_class": "options"}, {"locale": "global"}):
            assert exchange.json(path, **other)["results"] == []


def test_a_cusip_selects_one_company(exchange: RunningExchange) -> None:
    [apple] = exchange.json("/v3/reference/tickers", ticker="AAPL")["results"]
    assert "cusip" not in apple
    records = exchange.json("/v3/reference/tickers", cusip=cusip_of(apple["cik"]))["results"]
    assert [record["ticker"] for record in records] == ["AAPL"]
    assert exchange.json("/v3/reference/tickers", cusip="000000000")["results"] == []


@pytest.mark.parametrize("path", ["/v3/reference/splits", "/stocks/v1/splits"])
@pytest.mark.parametrize("field", ["split_from", "split_to", "execution_date", "ticker"])
def test_splits_are_filtered_by_each_of_their_fields(
    exchange: RunningExchange, path: str, field: str
) -> None:
    everything = exchange.json(path, limit="1000")["results"]
    middle = sorted(split[field] for split in everything)[len(everything) // 2]
    comparisons = {
        "": operator.eq,
        ".gt": operator.gt,
        ".gte": operator.ge,
        ".lt": operator.lt,
        ".lte": operator.le,
    }
    for suffix, compare in comparisons.items():
        filtered = exchange.json(path, limit="1000", **{field + suffix: str(middle)})["results"]
        assert sorted(split["id"] for split in filtered) == sorted(
            split["id"] for split in everything if compare(split[field], middle)
        )
    two = sorted({str(split[field]) for split in everything})[:2]
    filtered = exchange.json(path, limit="1000", **{f"{field}.any_of": ",".join(two)})["results"]
    assert {str(split[field]) for split in filtered} == set(two)


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("/v3/reference/tickers", {"sector": "tech"}, "sector"),
        ("/v3/reference/tickers", {"active": "maybe"}, "active"),
        ("/v3/reference/tickers", {"order": "up"}, "order"),
        ("/v3/reference/tickers", {"offset": "5"}, "offset"),
        ("/v3/reference/tickers/types", {"asset_class": "shoes"}, "asset_class"),
        ("/v3/reference/exchanges", {"locale": "mars"}, "locale"),
        ("/v3/reference/splits", {"split_from.gt": "many"}, "split_from.gt"),
        ("/v3/reference/splits", {"execution_date.gte": "soon"}, "execution_date.gte"),
        ("/v3/reference/splits", {"reverse_split": "perhaps"}, "reverse_split"),
        ("/stocks/v1/splits", {"ratio": "2"}, "ratio"),
        ("/v2/aggs/ticker/AAPL/prev", {"adjusted": "a bit"}, "adjusted"),
        ("/v2/aggs/ticker/AAPL/prev", {"limit": "5"}, "limit"),
        (
            "/v2/aggs/grouped/locale/us/market/stocks/2026-11-19",
            {"include_otc": "some"},
            "include_otc",
        ),
        ("/v2/aggs/grouped/locale/us/market/stocks/2026-11-19", {"locale": "global"}, "locale"),
        ("/v2/aggs/ticker/AAPL/range/1/day/2026-11-18/2026-11-19", {"sort": "random"}, "sort"),
        (
            "/v2/aggs/ticker/AAPL/range/1/day/2026-11-18/2026-11-19",
            {"unadjusted": "true"},
            "unadjusted",
        ),
        ("/v2/aggs/ticker/AAPL/range/1/decade/2026-11-18/2026-11-19", {}, "decade"),
        ("/v1/open-close/AAPL/2026-11-19", {"date": "2026-11-18"}, "date"),
        ("/v1/marketstatus/now", {"market": "crypto"}, "market"),
    ],
)
def test_an_unknown_parameter_or_value_is_refused_by_name(
    exchange: RunningExchange, path: str, query: dict[str, str], named: str
) -> None:
    answer = exchange.get(path, **query)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_a_filter_cannot_change_between_pages(exchange: RunningExchange) -> None:
    first = exchange.json("/v3/reference/tickers", limit="10", market="stocks")
    url = first["next_url"]
    assert (
        requests.get(
            url + "&limit=10&market=stocks",
            headers={"Authorization": "Bearer test-key"},
            timeout=30,
        ).status_code
        == 200
    )
    changed = requests.get(
        url + "&market=otc", headers={"Authorization": "Bearer test-key"}, timeout=30
    )
    assert (changed.status_code, "'market'" in changed.json()["error"]) == (400, True)


def test_a_rate_limited_server_answers_429() -> None:
    with running_exchange("--rate-limit", "2", "--tickers", "50") as limited:
        answers = [limited.get("/v1/marketstatus/now").status_code for _ in range(3)]
    assert answers == [200, 200, 429]
