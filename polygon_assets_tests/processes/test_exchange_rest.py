"""The REST API over real HTTP: bodies, errors, paging, agreement with the market's final bars."""

import datetime as dt
import operator
from collections.abc import Iterator

import numpy as np
import pytest
import requests

from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.rest.reference import cusip_of
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets_tests.unit.local.exchange.harness import (
    DAY,
    SEED,
    TICKERS,
    Message,
    RunningExchange,
    running_exchange,
)

YESTERDAY = DAY - dt.timedelta(days=1)
SECONDS = "/v2/aggs/ticker/{}/range/1/second/{}/{}"


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    """A replay that starts at 11:00 New York, at the speed of the wall clock."""
    with running_exchange(
        "--replay", str(DAY), "--replay-from", "11:00", "--tickers", str(TICKERS)
    ) as running:
        yield running


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SEED, TICKERS)


def all_pages(exchange: RunningExchange, path: str, **query: str) -> list[Message]:
    """All results, following next_url with the key in a header, as the vendor requires."""
    reply = exchange.json(path, **query)
    results: list[Message] = reply.get("results", [])
    while "next_url" in reply:
        assert "test-key" not in reply["next_url"]
        reply = requests.get(
            reply["next_url"], headers={"Authorization": "Bearer test-key"}, timeout=30
        ).json()
        results += reply.get("results", [])
    return results


def test_the_pages_of_a_liquid_day_of_seconds_are_the_final_bars(
    exchange: RunningExchange, market: Market
) -> None:
    path = SECONDS.format("AAPL", YESTERDAY, YESTERDAY)
    assert exchange.json(path, adjusted="false")["resultsCount"] == 5000
    results = all_pages(exchange, path, adjusted="false", limit="20000")
    truth = market.seconds("AAPL", YESTERDAY)
    assert len(results) == len(truth) > 20_000
    names = {
        "t": "start_ms",
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "v": "volume",
        "vw": "vwap",
        "n": "transactions",
    }
    for short, name in names.items():
        assert np.array_equal([result[short] for result in results], truth[name]), name


def test_the_key_is_accepted_in_the_query_and_never_returned(exchange: RunningExchange) -> None:
    url = f"http://{exchange.address}{SECONDS.format('AAPL', YESTERDAY, YESTERDAY)}"
    reply = requests.get(url, params={"apiKey": "test-key", "limit": "10"}, timeout=10).json()
    assert reply["resultsCount"] == 10
    assert "test-key" not in reply["next_url"]


def test_milliseconds_select_seconds_inclusively(exchange: RunningExchange, market: Market) -> None:
    starts = market.seconds("AAPL", YESTERDAY)["start_ms"][5000:5010]
    results = exchange.json(SECONDS.format("AAPL", starts[0], starts[-1]))["results"]
    assert [result["t"] for result in results] == starts.tolist()


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize(
    ("window", "limit"), [("7/minute", 500), ("1/hour", 700), ("3/day", 4), ("45/second", 9_000)]
)
def test_joined_pages_equal_one_page(
    exchange: RunningExchange, window: str, limit: int, sort: str
) -> None:
    first = YESTERDAY if "second" in window else DAY - dt.timedelta(days=12)
    path = f"/v2/aggs/ticker/NVDA/range/{window}/{first}/{YESTERDAY}"
    whole = all_pages(exchange, path, limit="50000", sort="asc")
    paged = all_pages(exchange, path, limit=str(limit), sort=sort)
    assert (paged if sort == "asc" else paged[::-1]) == whole


def test_minutes_and_days_are_the_final_bars(exchange: RunningExchange, market: Market) -> None:
    minutes = all_pages(
        exchange, f"/v2/aggs/ticker/SPY/range/1/minute/{YESTERDAY}/{YESTERDAY}", adjusted="false"
    )
    (day,) = exchange.json(
        f"/v2/aggs/ticker/SPY/range/1/day/{YESTERDAY}/{YESTERDAY}", adjusted="false"
    )["results"]
    truth = market.day("SPY", YESTERDAY)[0]
    assert [minute["v"] for minute in minutes] == market.minutes("SPY", YESTERDAY)[
        "volume"
    ].tolist()
    assert (day["o"], day["h"], day["l"], day["c"], day["vw"], day["v"]) == tuple(
        truth[["open", "high", "low", "close", "vwap", "volume"]]
    )


def test_grouped_daily_previous_day_and_open_close_agree(
    exchange: RunningExchange, market: Market
) -> None:
    grouped = {
        record["T"]: record
        for record in exchange.json(f"/v2/aggs/grouped/locale/us/market/stocks/{YESTERDAY}")[
            "results"
        ]
    }
    (previous,) = exchange.json("/v2/aggs/ticker/MSFT/prev")["results"]
    daily = exchange.json(f"/v1/open-close/MSFT/{YESTERDAY}")
    assert grouped["MSFT"] == previous
    assert (daily["high"], daily["low"], daily["volume"]) == (
        previous["h"],
        previous["l"],
        previous["v"],
    )
    assert (daily["open"], daily["close"]) == (previous["o"], previous["c"])
    assert "results" not in daily
    seconds = market.seconds("MSFT", YESTERDAY)
    assert (daily["preMarket"], daily["afterHours"]) == (seconds["open"][0], seconds["close"][-1])
    opened = seconds[
        seconds["start_ms"]
        >= 1000 * int(dt.datetime(2026, 11, 19, 14, 30, tzinfo=dt.UTC).timestamp())
    ]
    assert daily["open"] == opened["open"][0]
    otc = {market.universe.symbols[number] for number in market.universe.otc.nonzero()[0]}
    assert not otc & grouped.keys()
    with_otc = exchange.json(
        f"/v2/aggs/grouped/locale/us/market/stocks/{YESTERDAY}", include_otc="true"
    )["results"]
    assert otc & {record["T"] for record in with_otc}
    assert {record["T"] for record in with_otc if record.get("otc")} == otc & {
        record["T"] for record in with_otc
    }


def test_today_ends_at_the_exchange_clock(exchange: RunningExchange, market: Market) -> None:
    before = exchange.stats()["exchange_time"]
    seconds = all_pages(exchange, SECONDS.format("AAPL", DAY, DAY), limit="50000")
    after = exchange.stats()["exchange_time"]
    assert before - 60 < seconds[-1]["t"] / 1000 < after
    truth = market.seconds("AAPL", DAY)["start_ms"]
    assert [second["t"] for second in seconds] == truth[: len(seconds)].tolist()
    (day,) = exchange.json(f"/v2/aggs/ticker/AAPL/range/1/day/{DAY}/{DAY}")["results"]
    assert (
        sum(second["v"] for second in seconds)
        <= day["v"]
        < market.day("AAPL", DAY)["volume"][0] / 2
    )


@pytest.mark.parametrize(
    "path",
    ["/v2/aggs/ticker/AAPL/range/1/day/2026-11-21/2026-11-22", "/v2/aggs/ticker/NOSUCH/prev"],
)
def test_an_empty_result_is_200_without_results(exchange: RunningExchange, path: str) -> None:
    reply = exchange.json(path)
    assert reply["resultsCount"] == 0
    assert "results" not in reply


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


def moment(text: str, day: dt.date = YESTERDAY) -> int:
    """A New York time in Unix milliseconds."""
    return int(dt.datetime.combine(day, dt.time.fromisoformat(text), NEW_YORK).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "first", "last", "starts"),
    [
        ("1/minute", "10:00:30", "10:02:15", ["10:00:00", "10:01:00", "10:02:00"]),
        ("1/minute", "10:00:00", "10:02:00", ["10:00:00", "10:01:00", "10:02:00"]),
        ("1/minute", "10:00:00", "10:01:59.999", ["10:00:00", "10:01:00"]),
        ("5/minute", "10:01:00", "10:06:00", ["10:00:00", "10:05:00"]),
        ("30/second", "10:00:10", "10:00:30", ["10:00:00", "10:00:30"]),
        ("1/hour", "10:30:00", "12:00:00", ["10:00:00", "11:00:00", "12:00:00"]),
    ],
)
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_a_window_that_begins_within_the_range_is_complete(
    exchange: RunningExchange, *, window: str, first: str, last: str, starts: list[str], sort: str
) -> None:
    everything = all_pages(
        exchange,
        f"/v2/aggs/ticker/AAPL/range/{window}/{YESTERDAY}/{YESTERDAY}",
        adjusted="false",
        limit="50000",
    )
    by_start = {bar["t"]: bar for bar in everything}
    path = f"/v2/aggs/ticker/AAPL/range/{window}/{moment(first)}/{moment(last)}"
    bars = all_pages(exchange, path, adjusted="false", limit="50000", sort=sort)
    expected = [by_start[moment(start)] for start in starts]
    assert bars == (expected if sort == "asc" else expected[::-1])


def test_todays_last_window_ends_now(exchange: RunningExchange, market: Market) -> None:
    bars = all_pages(exchange, f"/v2/aggs/ticker/AAPL/range/1/hour/{DAY}/{DAY}", adjusted="false")
    assert bars[-1]["t"] <= exchange.stats()["exchange_time"] * 1000
    seconds = market.seconds("AAPL", DAY)
    until = exchange.stats()["exchange_time"] * 1000
    within = seconds[(seconds["start_ms"] >= bars[-1]["t"]) & (seconds["start_ms"] < until)]
    assert bars[-1]["v"] == within["volume"].sum()


@pytest.mark.parametrize(
    ("window", "first", "last", "days"),
    [
        (
            "1/week",
            "2026-11-04",
            "2026-11-10",
            [("2026-11-01", "2026-11-07"), ("2026-11-08", "2026-11-14")],
        ),
        ("2/week", "2026-11-04", "2026-11-04", [("2026-11-01", "2026-11-14")]),
        (
            "1/month",
            "2026-09-15",
            "2026-10-01",
            [("2026-09-01", "2026-09-30"), ("2026-10-01", "2026-10-31")],
        ),
        (
            "1/quarter",
            "2026-05-05",
            "2026-07-01",
            [("2026-04-01", "2026-06-30"), ("2026-07-01", "2026-09-30")],
        ),
        ("1/year", "2025-06-01", "2025-06-02", [("2025-01-01", "2025-12-31")]),
        (
            "3/day",
            "2026-11-04",
            "2026-11-07",
            [("2026-11-04", "2026-11-06"), ("2026-11-07", "2026-11-09")],
        ),
    ],
)
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_longer_windows_are_the_sums_of_their_days(
    exchange: RunningExchange,
    *,
    window: str,
    first: str,
    last: str,
    days: list[tuple[str, str]],
    sort: str,
) -> None:
    path = "/v2/aggs/ticker/AAPL/range/{}/{}/{}"
    bars = all_pages(exchange, path.format(window, first, last), adjusted="false", sort=sort)
    assert len(bars) == len(days)
    for bar, (begin, end) in zip(bars if sort == "asc" else bars[::-1], days, strict=True):
        daily = all_pages(exchange, path.format("1/day", begin, end), adjusted="false")
        assert bar["t"] == moment("00:00", dt.date.fromisoformat(begin))
        assert (bar["o"], bar["c"]) == (daily[0]["o"], daily[-1]["c"])
        assert (bar["h"], bar["l"]) == (
            max(day["h"] for day in daily),
            min(day["l"] for day in daily),
        )
        assert bar["n"] == sum(day["n"] for day in daily)
        assert bar["v"] == pytest.approx(sum(day["v"] for day in daily))


@pytest.mark.parametrize(
    ("window", "limit"), [("1/week", 7), ("1/month", 30), ("2/month", 45), ("1/quarter", 70)]
)
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_of_longer_windows_equal_one_page(
    exchange: RunningExchange, window: str, limit: int, sort: str
) -> None:
    path = f"/v2/aggs/ticker/NVDA/range/{window}/2026-05-20/{YESTERDAY}"
    whole = all_pages(exchange, path, limit="50000")
    paged = all_pages(exchange, path, limit=str(limit), sort=sort)
    assert (paged if sort == "asc" else paged[::-1]) == whole


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
