"""The gap tracker: an interval with possibly missing events is recorded once, with its limits."""

import datetime as dt

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.streaming.gap_tracker import GapTracker, overlaps_session


def test_a_gap_runs_from_the_last_event_before_to_the_first_after() -> None:
    gaps = GapTracker()
    gaps.lost("disconnect", 5_000, epoch=1)
    gap = gaps.recovered(9_000)
    assert gap is not None
    assert (gap.reason, gap.since, gap.until, gap.epoch) == ("disconnect", 5_000, 9_000, 1)
    assert gaps.recovered(10_000) is None


def test_a_loss_before_the_first_event_is_no_gap() -> None:
    gaps = GapTracker()
    gaps.lost("disconnect", None, epoch=1)
    assert gaps.recovered(9_000) is None


def test_further_losses_widen_the_open_gap() -> None:
    gaps = GapTracker()
    gaps.dropped(10, 5_000, 6_000, epoch=1)
    gaps.dropped(5, 7_000, 12_000, epoch=1)
    gaps.lost("disconnect", 8_000, epoch=1)
    gap = gaps.recovered(9_000)
    assert gap is not None
    assert (gap.reason, gap.since, gap.until, gap.events_dropped) == ("drop", 5_000, 12_000, 15)


def test_a_dropped_correction_of_an_old_second_is_in_the_gap() -> None:
    gaps = GapTracker()
    gaps.dropped(10, 5_000, 6_000, epoch=1)
    gaps.dropped(1, 3_000, 4_000, epoch=1)
    gap = gaps.recovered(0)
    assert gap is not None
    assert (gap.since, gap.until, gap.events_dropped) == (3_000, 6_000, 11)


def test_an_interval_while_the_market_is_closed_is_no_gap() -> None:
    nyse = MarketCalendar("NYSE")
    friday_evening = dt.datetime(2026, 11, 21, 1, 30, tzinfo=dt.UTC)
    monday_morning = dt.datetime(2026, 11, 23, 8, 59, tzinfo=dt.UTC)
    assert not overlaps_session(nyse, friday_evening, monday_morning)
    assert overlaps_session(nyse, friday_evening, monday_morning + dt.timedelta(minutes=2))
    assert overlaps_session(MarketCalendar("24/7"), friday_evening, monday_morning)
