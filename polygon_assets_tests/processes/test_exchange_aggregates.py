"""Bars over the exchange's REST API: they are the market's final bars, in every window and page.

Reference data, errors and parameters belong to test_exchange_rest.py.
"""

import datetime as dt

import numpy as np
import pytest

from polygon_assets.local.exchange.market.market import Market
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets_tests import market_bars
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
)

__all__ = ["exchange", "market"]


def test_the_pages_of_a_liquid_day_of_seconds_are_the_final_bars(
    exchange: RunningExchange, market: Market
) -> None:
    path = SECONDS.format("AAPL", YESTERDAY, YESTERDAY)
    assert exchange.json(path, adjusted="false")["resultsCount"] == 5000
    results = all_pages(exchange, path, adjusted="false", limit="20000")
    truth = market_bars.seconds(market, "AAPL", YESTERDAY)
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


def test_milliseconds_select_seconds_inclusively(exchange: RunningExchange, market: Market) -> None:
    starts = market_bars.seconds(market, "AAPL", YESTERDAY)["start_ms"][5000:5010]
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
    truth = market_bars.daily(market, "SPY", YESTERDAY)[0]
    assert [minute["v"] for minute in minutes] == market_bars.minutes(market, "SPY", YESTERDAY)[
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
    seconds = market_bars.seconds(market, "MSFT", YESTERDAY)
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
    truth = market_bars.seconds(market, "AAPL", DAY)["start_ms"]
    assert [second["t"] for second in seconds] == truth[: len(seconds)].tolist()
    (day,) = exchange.json(f"/v2/aggs/ticker/AAPL/range/1/day/{DAY}/{DAY}")["results"]
    assert (
        sum(second["v"] for second in seconds)
        <= day["v"]
        < market_bars.daily(market, "AAPL", DAY)["volume"][0] / 2
    )


@pytest.mark.parametrize(
    "path",
    ["/v2/aggs/ticker/AAPL/range/1/day/2026-11-21/2026-11-22", "/v2/aggs/ticker/NOSUCH/prev"],
)
def test_an_empty_result_is_200_without_results(exchange: RunningExchange, path: str) -> None:
    reply = exchange.json(path)
    assert reply["resultsCount"] == 0
    assert "results" not in reply


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
    seconds = market_bars.seconds(market, "AAPL", DAY)
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
        pytest.param(
            "1/year",
            "2025-06-01",
            "2025-06-02",
            [("2025-01-01", "2025-12-31")],
            marks=pytest.mark.long,
        ),
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
    ("window", "limit"),
    [
        ("1/week", 7),
        pytest.param("1/month", 30, marks=pytest.mark.long),
        ("2/month", 45),
        pytest.param("1/quarter", 70, marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_of_longer_windows_equal_one_page(
    exchange: RunningExchange, window: str, limit: int, sort: str
) -> None:
    path = f"/v2/aggs/ticker/NVDA/range/{window}/2026-05-20/{YESTERDAY}"
    whole = all_pages(exchange, path, limit="50000")
    paged = all_pages(exchange, path, limit=str(limit), sort=sort)
    assert (paged if sort == "asc" else paged[::-1]) == whole
