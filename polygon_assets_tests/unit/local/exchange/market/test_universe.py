"""The universe of tickers and its splits."""

import datetime as dt
import re

import numpy as np
import pytest

from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.market.universe import SECURITY_TYPES, build_universe
from polygon_assets.local.exchange.rest.reference import last_updated
from polygon_assets.market_calendar import ONE_DAY

UNIVERSE = build_universe(7, 10_000)
MARKET = Market(tickers=300)
LIQUID = ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "GOOGL", "META", "AMD", "SPY", "QQQ", "BRK.B")


def test_symbols_are_distinct_and_have_the_form_of_symbols() -> None:
    assert len(set(UNIVERSE.symbols)) == len(UNIVERSE) == 10_000
    assert all(
        re.fullmatch(r"[A-Z]{1,5}(\.[A-Z]{1,2}|p[A-E])?", symbol) for symbol in UNIVERSE.symbols
    )
    assert {"WS", "B"} <= {symbol.split(".")[1] for symbol in UNIVERSE.symbols if "." in symbol}
    assert {len(symbol) for symbol in UNIVERSE.symbols} >= {1, 2, 3, 4, 5}


def test_well_known_symbols_are_the_most_active_and_always_listed() -> None:
    numbers = [UNIVERSE.index[symbol] for symbol in LIQUID]
    assert max(numbers) < 64
    assert (np.diff(UNIVERSE.intensity) <= 0).all()
    assert all(
        UNIVERSE.trading(dt.date(year, 6, 1).toordinal())[numbers].all() for year in (2012, 2030)
    )


def test_the_universe_has_every_kind_of_security() -> None:
    assert set(UNIVERSE.types) == set(SECURITY_TYPES)
    assert 0.01 < UNIVERSE.otc.mean() < 0.1


def test_some_tickers_are_listed_and_some_are_delisted_over_the_years() -> None:
    first, last = dt.date(2016, 1, 4).toordinal(), dt.date(2026, 11, 20).toordinal()
    listed = ~UNIVERSE.trading(first) & UNIVERSE.trading(last)
    delisted = UNIVERSE.trading(first) & ~UNIVERSE.trading(last)
    assert listed.sum() > 100 < delisted.sum()


def test_small_universes_are_the_well_known_names() -> None:
    assert build_universe(7, 3).symbols == ["AAPL", "MSFT", "NVDA"]


def test_a_few_tickers_change_each_day_and_nothing_changes_in_the_future() -> None:
    now = dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC)
    market = Market()
    today, tomorrow = last_updated(market, now), last_updated(market, now + ONE_DAY)
    assert (today <= now.timestamp()).all()
    assert (tomorrow >= today).all()
    assert 10 < (tomorrow != today).sum() < 200


def test_a_listing_and_a_delisting_count_as_changes() -> None:
    first, last = (dt.datetime(2026, month, 20, 15, tzinfo=dt.UTC) for month in (1, 11))
    before, after = (UNIVERSE.trading(moment.date().toordinal()) for moment in (first, last))
    updated = last_updated(Market(), last)
    assert (updated[before != after] > first.timestamp()).all()


@pytest.mark.parametrize("day", [dt.date(2020, 5, 29), dt.date(2026, 11, 20), dt.date(2029, 6, 1)])
def test_the_month_before_any_day_has_a_split(day: dt.date) -> None:
    for tickers in (60, 300):
        splits = Market(tickers=tickers).splits
        assert any(day - 31 * ONE_DAY < split.execution_date <= day for split in splits.all)


def test_only_unadjusted_prices_jump_at_a_splits_execution_date() -> None:
    splits = [
        split
        for split in MARKET.splits.all
        if split.execution_date.year >= 2025 and split.number < 150
    ]
    for split in splits[:6]:
        before = MARKET.day_sums(split.ticker, MARKET.calendar.previous_day(split.execution_date))
        after = MARKET.day_sums(split.ticker, split.execution_date)
        assert after.open[0] / before.close[0] == pytest.approx(
            split.split_from / split.split_to, rel=0.1
        )
        adjusted = before.adjusted(
            MARKET.splits.price_factor(
                split.ticker, split.execution_date - ONE_DAY, split.execution_date
            )
        )
        assert adjusted.close[0] == pytest.approx(after.open[0], rel=0.1)
        assert adjusted.volume[0] * adjusted.close[0] == pytest.approx(
            before.volume[0] * before.close[0]
        )


def test_factors_of_several_splits_multiply() -> None:
    ticker, splits = next(
        (ticker, splits) for ticker, splits in MARKET.splits.by_ticker.items() if len(splits) > 1
    )
    first, last = splits[0].execution_date, splits[-1].execution_date
    product = np.prod([split.price_factor for split in splits])
    assert MARKET.splits.price_factor(ticker, first - ONE_DAY, last) == pytest.approx(product)
    assert MARKET.splits.price_factor(ticker, last, last + 1000 * ONE_DAY) == 1.0
