"""Which symbols are doubted, and what a difference to REST means."""

import datetime as dt
import random

import pytest

from polygon_assets.gap_filling.doubt import SAMPLE, SECOND, Activity, chosen, expected, missing

UNTIL = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)


def ms(seconds_ago: int) -> int:
    return round((UNTIL - seconds_ago * SECOND).timestamp() * 1000)


def active(seconds: int, silent_for: int) -> Activity:
    return Activity(seconds, UNTIL - silent_for * SECOND)


def test_a_busy_symbol_that_fell_silent_is_always_compared() -> None:
    activity = {f"S{n}": active(7000, 2) for n in range(50)}
    activity |= {"DEAD": active(6000, 600), "RARE": active(3, 1200)}
    for seed in range(20):
        symbols = chosen(activity.keys(), activity, UNTIL, random.Random(seed))
        assert symbols[0] == "DEAD"
        assert len(symbols) == len(set(symbols)) == SAMPLE


def test_a_symbol_that_is_silent_since_the_open_is_compared_if_it_traded_the_day_before() -> None:
    session_open = UNTIL - dt.timedelta(hours=1)
    lately = {f"S{n}": active(3000, 2) for n in range(50)}
    yesterday = {symbol: active(3000, 86_400) for symbol in [*lately, "DEAD"]}
    activity = expected(lately, yesterday, session_open)
    assert activity["DEAD"] == Activity(3000, session_open)
    assert {symbol: activity[symbol] for symbol in lately} == lately
    # With `A.*` the symbols to choose from are those of the activity itself.
    assert chosen(activity, activity, UNTIL, random.Random(1))[0] == "DEAD"


def test_every_symbol_has_its_turn_also_one_that_never_traded() -> None:
    symbols = {f"S{n}" for n in range(20)}
    activity = {symbol: active(10, 5) for symbol in symbols - {"S7"}}
    compared: set[str] = set()
    for seed in range(200):
        compared |= set(chosen(symbols, activity, UNTIL, random.Random(seed)))
    assert compared == symbols


def test_a_small_set_is_compared_whole() -> None:
    assert set(chosen({"A", "B"}, {"A": active(1, 1)}, UNTIL, random.Random(1))) == {"A", "B"}
    assert chosen(set(), {}, UNTIL, random.Random(1)) == []


def test_what_both_have_and_what_rest_lacks_is_no_doubt() -> None:
    assert missing("A", [ms(9), ms(5)], [ms(9), ms(5), ms(4)], UNTIL, UNTIL) is None
    assert missing("A", [], [ms(9)], UNTIL, UNTIL) is None


@pytest.mark.parametrize("stored", [[], [ms(60), ms(59)]])
def test_a_channel_without_a_second_since_is_silent_until_now(stored: list[int]) -> None:
    hours_ago = UNTIL - 7200 * SECOND
    gap = missing("BRK.A", [*stored, ms(30), ms(25), ms(20)], stored, hours_ago, UNTIL)
    assert gap is not None
    assert (gap.cause, gap.channels) == ("silent channel", ("A.BRK.A",))
    assert (gap.since, gap.until) == (hours_ago, UNTIL), "since it was last seen"


@pytest.mark.parametrize(
    ("lost_ago", "is_gap"), [(20, False), (15 * 60, False), (15 * 60 + 1, True), (1700, True)]
)
def test_a_single_second_may_come_as_a_correction_within_the_revision_window(
    lost_ago: int, is_gap: bool
) -> None:
    gap = missing("A", [ms(1800), ms(lost_ago), ms(10)], [ms(1800), ms(10)], UNTIL, UNTIL)
    assert (gap is not None) is is_gap
    if gap:
        since = UNTIL - lost_ago * SECOND
        assert (gap.cause, gap.since, gap.until) == ("missing second", since, since + SECOND)
