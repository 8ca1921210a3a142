"""The synthetic market: reproducible, exactly consistent, and shaped like the real market."""

import asyncio
import datetime as dt
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygon_assets.local.exchange.exchange import Exchange, Options, prepare
from polygon_assets.local.exchange.market.bars import Bars, Patterns, cut, limits
from polygon_assets.local.exchange.market.clock import Clock
from polygon_assets.local.exchange.market.day import CENT, SHARE, Cells, TradingDay
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.market.sums import Sums, empty
from polygon_assets.local.exchange.server import serve
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets_tests import market_bars

DAY = dt.date(2026, 11, 20)
EARLY_CLOSE = dt.date(2026, 11, 27)
MARKET = Market(tickers=300, fraction_rate=0.5)


def equal(first: Sums, second: Sums) -> bool:
    return all(
        np.array_equal(column, getattr(second, name)) for name, column in vars(first).items()
    )


def bar_of(seconds: Sums, day: dt.date) -> Sums:
    """The day's bar summed from its seconds: prices of regular hours, volumes of the whole day."""
    session = MARKET.calendar.session(day)
    assert session
    start = int(session.extended_open.timestamp())
    regular = (seconds.start >= session.regular_open.timestamp()) & (
        seconds.start < session.regular_close.timestamp()
    )
    prices = seconds.where(regular)
    if not len(prices):
        return empty()
    whole = seconds.windows(np.full(len(seconds), start))
    return replace(
        prices.windows(np.full(len(prices), start)),
        volume=whole.volume,
        notional=whole.notional,
        trades=whole.trades,
    )


def test_two_markets_with_one_seed_agree_and_another_seed_differs() -> None:
    same, other = (
        Market(tickers=300, fraction_rate=0.5),
        Market(seed=8, tickers=300, fraction_rate=0.5),
    )
    assert equal(same.second_sums("AAPL", DAY), MARKET.second_sums("AAPL", DAY))
    assert not equal(other.second_sums("AAPL", DAY), MARKET.second_sums("AAPL", DAY))


@settings(max_examples=25, deadline=None)
@given(ticker=st.integers(0, 299), day=st.dates(dt.date(2015, 1, 2), dt.date(2029, 12, 31)))
def test_seconds_minutes_day_and_grouped_daily_agree_exactly(ticker: int, day: dt.date) -> None:
    symbol = MARKET.universe.symbols[ticker]
    seconds = MARKET.second_sums(symbol, day)
    minutes = seconds.windows(seconds.start // 60 * 60)
    assert equal(
        minutes.windows(np.zeros(len(minutes), np.int64)),
        seconds.windows(np.zeros(len(seconds), np.int64)),
    )
    for sums in (seconds, minutes):
        assert equal(MARKET.day_sums(symbol, day), bar_of(sums, day) if len(sums) else empty())


def test_a_ticker_that_traded_only_outside_regular_hours_has_no_bar() -> None:
    session = MARKET.calendar.session(DAY)
    assert session
    assert len(MARKET.second_sums("AAPL", DAY, int(session.regular_open.timestamp())))
    assert not len(MARKET.day_sums("AAPL", DAY, int(session.regular_open.timestamp())))


def test_grouped_daily_is_the_day_of_each_ticker_that_traded() -> None:
    grouped = market_bars.grouped(MARKET, DAY)
    single = [market_bars.daily(MARKET, symbol, DAY) for symbol in MARKET.universe.symbols]
    assert np.array_equal(grouped, np.concatenate(single))


@pytest.mark.parametrize("offset", [0, 1, 59, 60, 61, 19_800, 30_017, 57_599, 57_600])
def test_an_unfinished_day_is_the_sum_of_its_seconds(offset: int) -> None:
    start = int(dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC).timestamp())
    seconds = MARKET.second_sums("AAPL", DAY, start + offset)
    assert equal(MARKET.day_sums("AAPL", DAY, start + offset), bar_of(seconds, DAY))
    assert seconds.start.max(initial=0) < start + offset


def test_no_second_leaves_the_bounds_of_its_minute() -> None:
    """The day's high and low are looked for only in minutes whose bounds reach that far."""
    count, draw = 100_000, np.random.Generator(np.random.PCG64(9))
    seconds = np.minimum(60, draw.geometric(0.4, count))
    opens = draw.integers(10 * CENT, 5_000_000, count)
    cells = Cells(
        ticker=np.arange(count),
        minute=np.zeros(count, np.int64),
        key=draw.integers(0, 2**64, count, np.uint64),
        bars=seconds,
        volume=SHARE * (2 * seconds + draw.integers(0, 50, count)),
        trades=2 * seconds,
        opens=opens,
        closes=opens + (opens * draw.normal(0, 0.0001, count)).astype(np.int64),
        ripple=np.maximum(CENT // 4, (opens * draw.uniform(0, 0.00005, count)).astype(np.int64)),
    )
    highest, lowest = limits(cells)
    bars = cut(cells, MARKET.patterns)
    above, below = (
        highest[bars.ticker] - CENT * bars.high,
        CENT * (bars.low + 1) - lowest[bars.ticker],
    )
    assert above.min() >= 0
    assert below.min() > 0
    # They are close, too: wide ones would let every minute be cut.
    assert max(above.min(), below.min()) <= CENT // 8


def test_every_bar_is_consistent_in_itself() -> None:
    for symbol in MARKET.universe.symbols[::15]:
        bars = market_bars.seconds(MARKET, symbol, DAY)
        assert (bars["low"] > 0).all()
        for name in ("open", "close", "vwap"):
            assert (bars["low"] <= bars[name]).all()
            assert (bars[name] <= bars["high"]).all()
        assert (bars["volume"] >= bars["transactions"]).all()
        assert (bars["transactions"] >= 1).all()
        assert (np.diff(bars["start_ms"]) >= 1000).all()


def test_activity_is_u_shaped_and_thin_outside_regular_hours() -> None:
    starts = Market(tickers=300).second_sums(MARKET.universe.symbols[150], DAY).start
    hours = np.array([dt.datetime.fromtimestamp(start, NEW_YORK).hour for start in starts.tolist()])
    opening, noon, closing = ((hours == hour).sum() for hour in (10, 12, 15))
    assert opening > 1.15 * noon < closing
    assert (hours < 9).sum() / 5 < noon / 4


def test_liquid_tickers_trade_nearly_every_regular_second_and_the_tail_is_long() -> None:
    market = Market()
    start = int(dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC).timestamp())
    liquid = market.second_sums("AAPL", DAY).start
    assert ((liquid >= start) & (liquid < start + 23_400)).sum() > 0.93 * 23_400
    day = market.trading_day(DAY)
    assert day is not None
    bars = market.cut(day.grid(market.universe.keys, 500, 501).traded)
    assert 60_000 < len(bars) < 120_000
    assert np.median(np.bincount(bars.ticker, minlength=10_000)) <= 4


def test_unlimited_activity_gives_every_listed_ticker_a_bar_each_second() -> None:
    market = Market(tickers=30, activity=1e9)
    day = market.trading_day(DAY)
    assert day is not None
    bars = market.cut(day.grid(market.universe.keys, 0, day.minutes).traded)
    assert len(bars) == 57_600 * market.universe.trading(DAY.toordinal()).sum()


@pytest.mark.parametrize("day", [dt.date(2026, 11, 21), dt.date(2026, 11, 26)])
def test_a_closed_day_has_no_bars(day: dt.date) -> None:
    assert (
        len(market_bars.seconds(MARKET, "AAPL", day)) == len(market_bars.grouped(MARKET, day)) == 0
    )
    assert MARKET.trading_day(day) is None


def test_sessions_have_the_calendars_length() -> None:
    lengths = {
        day: len(market_bars.seconds(Market(tickers=5, activity=1e9), "AAPL", day))
        for day in (DAY, EARLY_CLOSE)
    }
    assert lengths == {DAY: 16 * 3600, EARLY_CLOSE: 13 * 3600}


@pytest.mark.parametrize(
    ("day", "hours"),
    [(dt.date(2026, 11, 1), 25), (dt.date(2027, 3, 14), 23), (dt.date(2026, 11, 22), 24)],
)
def test_the_market_that_never_closes_trades_every_hour_of_the_new_york_day(
    day: dt.date, hours: int
) -> None:
    market = Market(tickers=5, activity=1e9, calendar=MarketCalendar("24/7"))
    assert len(market_bars.seconds(market, "AAPL", day)) == hours * 3600


def test_a_session_begins_near_the_last_close() -> None:
    before, after = (
        market_bars.seconds(MARKET, "MSFT", dt.date(2026, 11, 19)),
        market_bars.seconds(MARKET, "MSFT", DAY),
    )
    assert before["close"][-1] == pytest.approx(after["open"][0], rel=0.002)


def test_some_volumes_are_fractional_and_most_are_whole() -> None:
    day, symbols = MARKET.trading_day(DAY), MARKET.universe.symbols
    assert day is not None
    fractional, whole = (
        market_bars.seconds(MARKET, symbols[chosen.nonzero()[0][0]], DAY)["volume"]
        for chosen in (day.fractional, ~day.fractional)
    )
    assert 0 < np.mean(fractional != np.floor(fractional)) < 0.5
    assert np.array_equal(np.round(fractional, 3), fractional)
    assert np.array_equal(whole, np.floor(whole))


def test_an_unknown_symbol_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        market_bars.seconds(MARKET, "NOSUCH", DAY)


def test_grouped_daily_cuts_seconds_from_few_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market, cut_cells = Market(tickers=400), list[int]()

    def counting(cells: Cells, patterns: Patterns) -> Bars:
        cut_cells.append(len(cells.ticker))
        return cut(cells, patterns)

    monkeypatch.setattr("polygon_assets.local.exchange.market.sums.cut", counting)
    constants = market.trading_day(DAY)
    assert constants is not None
    traded = (constants.grid(market.universe.keys, 0, constants.minutes).bars > 0).sum()
    market.grouped_sums(DAY)
    assert sum(cut_cells) < traded / 10


def test_the_newest_ten_days_are_summed_before_anyone_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(tickers=50)
    asyncio.run(prepare(market, dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC), pause_seconds=0))

    def refused(*_: object) -> Sums:
        raise AssertionError("the day was not prepared")

    monkeypatch.setattr("polygon_assets.local.exchange.market.market.whole_day", refused)
    days = [DAY - dt.timedelta(days=age) for age in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    assert all(len(market.grouped_sums(day)) for day in days)


def test_the_newest_day_is_summed_before_the_exchange_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(*_: object) -> None:
        """No day is prepared later."""

    async def serve_once() -> None:
        stop = asyncio.Event()
        stop.set()
        await serve(exchange, "127.0.0.1", 0, stop)

    monkeypatch.setattr("polygon_assets.local.exchange.exchange.prepare", nothing)
    now = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC).timestamp()
    clock = Clock(time.time(), now)
    exchange = Exchange(Market(tickers=50), clock, Options(api_key="key"))
    asyncio.run(serve_once())
    assert set(exchange.market._grouped) == {DAY}


def test_a_request_goes_before_the_preparation_of_another_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market, before = Market(tickers=600), DAY - dt.timedelta(days=1)
    started, order = threading.Event(), list[dt.date]()

    def portion(day: TradingDay, *_: object) -> Sums:
        """Half a second for each part of the day that is prepared, the request comes meanwhile."""
        order.append(day.session.day)
        started.set()
        time.sleep(0.5 if day.session.day == DAY else 0.0)
        return empty()

    monkeypatch.setattr("polygon_assets.local.exchange.market.sums._portion", portion)
    monkeypatch.setattr("polygon_assets.local.exchange.market.sums._THREADS", 1)
    monkeypatch.setattr("polygon_assets.local.exchange.market.sums._TICKERS_AT_ONCE", 200)
    preparation = threading.Thread(target=market.prepare_day, args=(DAY,))
    preparation.start()
    assert started.wait(10)
    market.grouped_sums(before)
    preparation.join(10)
    assert order == [DAY, before, before, before, DAY, DAY]
    assert set(market._grouped) == {DAY, before}


def test_a_late_begin_removes_earlier_trades_and_changes_no_later_second() -> None:
    begins = dt.datetime.combine(DAY, dt.time(15, 50), NEW_YORK)
    whole, late = Market(tickers=60), Market(tickers=60, begins=begins)
    first = int(begins.timestamp() * 1000)
    for symbol in whole.universe.symbols[:20]:
        expected = market_bars.seconds(whole, symbol, DAY)
        assert np.array_equal(
            market_bars.seconds(late, symbol, DAY), expected[expected["start_ms"] >= first]
        )
        assert np.array_equal(
            market_bars.seconds(late, symbol, DAY - dt.timedelta(days=1)),
            market_bars.seconds(whole, symbol, DAY - dt.timedelta(days=1)),
        )
        messages = late.messages(symbol, DAY, Rates())
        assert messages is not None
        assert np.array_equal(messages.final.accumulated_volume, np.cumsum(messages.final.volume))


def test_the_bar_of_a_day_with_a_late_begin_is_the_sum_of_its_seconds() -> None:
    begins = dt.datetime.combine(DAY, dt.time(15, 50), NEW_YORK)
    market = Market(tickers=60, begins=begins)
    closing = dt.datetime.combine(DAY, dt.time(16), NEW_YORK).timestamp() * 1000
    for bar in market_bars.grouped(market, DAY):
        seconds = market_bars.seconds(market, str(bar["symbol"]), DAY)
        regular = seconds[seconds["start_ms"] < closing]
        assert (bar["open"], bar["high"], bar["low"]) == (
            regular["open"][0],
            regular["high"].max(),
            regular["low"].min(),
        )
        assert bar["volume"] == pytest.approx(seconds["volume"].sum())
