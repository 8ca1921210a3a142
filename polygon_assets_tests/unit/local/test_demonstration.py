"""The demonstration's day: what was received, what was lost, and that nothing else is uncovered."""

import datetime as dt
from importlib import resources
from itertools import pairwise

import pytest

from polygon_assets.gap_filling.coverage import Interval, holes
from polygon_assets.local.demonstration import (
    SYMBOLS,
    heartbeats,
    loss,
    recording,
    reported_gap,
)
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import RawAggregate, clamped_utc
from polygon_assets.subscriptions import parse

DAY = dt.date(2026, 11, 20)
CALENDAR = MarketCalendar("24/7")
MARKET = Market(tickers=100, calendar=CALENDAR)
SYMBOL = "AAPL"


@pytest.fixture(scope="module")
def received() -> list[RawAggregate]:
    return list(recording(MARKET, DAY, [SYMBOL]))


def test_receipts_are_in_order_and_none_lies_in_the_loss(received: list[RawAggregate]) -> None:
    times = [aggregate.received_at for aggregate in received]
    assert all(earlier < later for earlier, later in pairwise(times))
    since, until = (moment.timestamp() * 1_000_000 for moment in loss(DAY))
    assert not [time for time in times if since <= time < until]


def test_what_was_received_is_the_market_but_for_the_loss(received: list[RawAggregate]) -> None:
    """The newest version of each second is the final one, unless that was lost."""
    newest = {aggregate.start_timestamp // 1000: aggregate for aggregate in received}
    sums = MARKET.second_sums(SYMBOL, DAY)
    since, until = (moment.timestamp() for moment in loss(DAY))
    volumes = dict(zip(sums.start.tolist(), sums.volume.tolist(), strict=True))
    missing = volumes.keys() - newest.keys()
    # A second is received three seconds after its start.
    assert missing == {second for second in volumes if since <= second + 3 < until}
    different = [second for second in newest if newest[second].volume != volumes[second] // 1000]
    assert all(since - 900 <= second < until for second in different)
    assert len(different) < 20
    assert len(received) > len(newest)


def test_only_the_reported_gap_is_uncovered() -> None:
    session = CALENDAR.session(DAY)
    assert session is not None
    gap = reported_gap(DAY)
    whole = Interval(session.extended_open, session.extended_close)
    recorded = [Interval(clamped_utc(gap.since), clamped_utc(gap.until))]
    after = session.extended_close + dt.timedelta(hours=1)
    beats = list(heartbeats(session))
    assert holes(whole, beats, recorded, after) == []
    (hole,) = holes(whole, beats, [], after)
    assert (hole.interval.since, hole.interval.until) == loss(DAY)


def test_every_symbol_is_in_the_sample_csv() -> None:
    sample = resources.files("polygon_assets.local") / "sample_subscriptions.csv"
    channels = parse(sample.read_text(), None).channels
    assert {f"A.{symbol}" for symbol in SYMBOLS} <= set(channels)
