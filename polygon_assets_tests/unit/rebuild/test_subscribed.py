"""The symbols of a rebuilt day that the filter can only have kept, and the day's hours."""

import datetime as dt

import pytest

from polygon_assets.rebuild.day import hours_of
from polygon_assets.rebuild.subscribed import Receipts, uncompared
from polygon_assets.subscriptions import AcceptedSet

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


def us(hours: float) -> int:
    return round((NOON + dt.timedelta(hours=hours)).timestamp() * 1e6)


def accepted(hours: float, *channels: str) -> AcceptedSet:
    at = (NOON + dt.timedelta(hours=hours)).isoformat()
    return AcceptedSet(f"v{hours}", "etag", "sha", at, channels)


RECEIVED = {"A": Receipts(us(0), us(2)), "B": Receipts(us(1), us(2))}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([accepted(-1, "A.A", "A.B")], []),
        ([accepted(-1, "A.*")], []),
        ([accepted(-1, "A.A")], ["B"]),
        # Nothing is known of the time before the first set.
        ([], ["A", "B"]),
        ([accepted(0.5, "A.A", "A.B")], ["A"]),
        # Added before its first receipt.
        ([accepted(-1, "A.A"), accepted(0.5, "A.A", "A.B")], []),
        # Removed while the filter may still have to judge its last event, or later.
        ([accepted(-1, "A.A", "A.B"), accepted(25, "A.A")], ["B"]),
        ([accepted(-1, "A.A", "A.B"), accepted(26.1, "A.A")], []),
        # Removed and added again meanwhile.
        ([accepted(-2, "A.A", "A.B"), accepted(1.5, "A.A"), accepted(1.6, "A.*")], ["B"]),
        # A set that is no longer in force when the first event comes.
        ([accepted(-3, "A.A"), accepted(-2, "A.A", "A.B")], []),
    ],
)
def test_a_symbol_is_compared_if_every_set_that_may_have_judged_it_has_it(
    history: list[AcceptedSet], expected: list[str]
) -> None:
    assert uncompared(RECEIVED, history) == expected
    assert uncompared(RECEIVED, history[::-1]) == expected


def test_receipts_grow_in_both_directions() -> None:
    times = Receipts(5, 5)
    for received_us in (7, 3, 6):
        times.add(received_us)
    assert times == Receipts(3, 7)


@pytest.mark.parametrize(
    ("day", "first_utc_hour", "count"),
    [
        (dt.date(2026, 11, 20), 5, 24),
        (dt.date(2026, 3, 8), 5, 23),
        (dt.date(2026, 11, 1), 4, 25),
    ],
)
def test_a_day_has_the_hours_of_new_york(day: dt.date, first_utc_hour: int, count: int) -> None:
    hours = hours_of(day)
    assert hours[0] == dt.datetime.combine(day, dt.time(first_utc_hour), dt.UTC)
    assert len(hours) == count
    assert hours[-1] - hours[0] == dt.timedelta(hours=count - 1)
