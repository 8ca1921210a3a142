"""The lines of single channels: traded, quiet where that is proved, and gaps."""

import datetime as dt

import pytest
from msgspec import structs

from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.messages import Heartbeat
from polygon_assets.page.candles import COLORS
from polygon_assets.page.channel_coverage import (
    SHOWN_SILENT,
    Activity,
    Coverage,
    channel_timeline,
    coverage_of,
    silent_line,
)
from polygon_assets_tests.unit.page.timelines import HOUR, SECOND, SESSION, START, gap, part, shown


def starts(*hours: float) -> list[dt.datetime]:
    return [START + hour * HOUR for hour in hours]


FIVE = 5 / 60


def activity(known_until: float | None, **starts_of: list[dt.datetime]) -> Activity:
    """Channels of the set `v1`, and when they traded."""
    intervals = {f"A.{symbol}": starts for symbol, starts in starts_of.items()}
    until = None if known_until is None else START + known_until * HOUR
    return Activity(intervals, {"v1": intervals.keys()}, len(intervals), until)


def coverage(*parts: Interval, version: str = "v1") -> Coverage:
    return Coverage(parts, {version: parts})


def test_each_part_of_a_channels_line_is_traded_quiet_or_a_gap() -> None:
    traded = activity(3, ZERO=[], AAPL=starts(0, FIVE, 2))
    covered = coverage(part(0, 0.5), part(0.5, 1), part(1.5, 4))
    doubt = gap(2.5, 2.6, channels=["A.AAPL"], gap_id="doubt-1")
    other = gap(0.1, 0.2, channels=["A.OTHER"])
    bars = shown(
        channel_timeline(traded, covered, [gap(1, 1.5, "verified"), doubt, other], SESSION)
    )
    assert bars == [
        ("A.ZERO", 0, 1, COLORS["quiet"]),
        ("A.ZERO", 1.5, 3, COLORS["quiet"]),
        ("A.ZERO", 1, 1.5, COLORS["verified"]),
        ("A.AAPL", 0, pytest.approx(2 * FIVE), COLORS["streamed"]),
        ("A.AAPL", pytest.approx(2 * FIVE), 1, COLORS["quiet"]),
        ("A.AAPL", 2, pytest.approx(2 + FIVE), COLORS["streamed"]),
        ("A.AAPL", 1.5, 2, COLORS["quiet"]),
        ("A.AAPL", pytest.approx(2 + FIVE), 3, COLORS["quiet"]),
        ("A.AAPL", 1, 1.5, COLORS["verified"]),
    ]
    line = silent_line(traded)
    assert line == "2 of 2 channels shown; without a trade until 07:00 New York: 1 (A.ZERO)"


def test_a_channel_is_quiet_only_while_the_producer_followed_a_set_with_it() -> None:
    """Added at hour 1, removed at hour 2, added again at hour 3; another set has every channel."""
    sets = {"with": ["A.ZERO"], "without": ["A.AAPL"], "all": ["A.*"], "not followed": ["A.ZERO"]}
    followed = {
        "without": [part(0, 1), part(2, 3)],
        "with": [part(1, 2), part(3, 4)],
        "all": [part(5, 6)],
        "never stored": [part(7, 8)],
    }
    whole = Activity({"A.ZERO": []}, sets, 1, START + 9 * HOUR)
    bars = shown(channel_timeline(whole, Coverage((), followed), [], SESSION))
    assert [(since, until) for _, since, until, _ in bars] == [(1, 2), (3, 4), (5, 6)]


def test_coverage_belongs_to_the_set_of_both_heartbeats() -> None:
    def beat(second: int, version: str) -> Heartbeat:
        at = round((START + second * SECOND).timestamp() * 1000)
        plain = Heartbeat("producer", "h", "streaming", 1, at, epoch=1, complete_until=at)
        return structs.replace(plain, desired=1, confirmed=1, subscriptions_version=version)

    found = coverage_of([beat(0, "a"), beat(10, "a"), beat(20, "b"), beat(30, "b"), beat(40, "a")])
    assert len(found.whole) == 4
    lengths = {
        version: [round((part.since - START) / SECOND) for part in parts]
        for version, parts in found.by_set.items()
    }
    assert lengths == {"a": [0], "b": [20]}


def test_no_channel_is_drawn_before_the_first_minute_bars() -> None:
    nothing = activity(None, ZERO=[])
    assert shown(channel_timeline(nothing, coverage(part(0, 1)), [], SESSION)) == []
    assert "ZERO" not in silent_line(nothing)


def test_many_silent_channels_are_counted_and_some_are_named() -> None:
    silent = {f"S{number:02}": list[dt.datetime]() for number in range(SHOWN_SILENT + 1)}
    line = silent_line(activity(0, **silent, AAPL=starts(0)))
    assert line.startswith(
        "11 of 12 channels shown; without a trade until 04:00 New York: 11 (A.S00, "
    )
    assert line.endswith(", A.S09, …)")
    assert silent_line(activity(0, AAPL=starts(0))) == "1 of 1 channels shown"
