"""The lines of single channels: traded, quiet where that is proved, and gaps."""

import datetime as dt
from dataclasses import replace

import pytest

from polygon_assets.page.candles import COLORS
from polygon_assets.page.channel_coverage import (
    SHOWN_SILENT,
    Activity,
    channel_timeline,
    silent_line,
    subscribed_since,
)
from polygon_assets_tests.unit.page.test_trust import HOUR, SESSION, START, gap, part, shown


def starts(*hours: float) -> list[dt.datetime]:
    return [START + hour * HOUR for hour in hours]


FIVE = 5 / 60


def activity(known_until: float | None, **starts_of: list[dt.datetime]) -> Activity:
    """Channels that were subscribed all day, and when they traded."""
    intervals = {f"A.{symbol}": starts for symbol, starts in starts_of.items()}
    until = None if known_until is None else START + known_until * HOUR
    return Activity(intervals, dict.fromkeys(intervals, START), len(intervals), until)


def test_a_channel_traded_was_quiet_or_has_a_gap() -> None:
    traded = activity(3, ZERO=[], AAPL=starts(0, FIVE, 2))
    covered = [part(0, 0.5), part(0.5, 1), part(1.5, 4)]
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
    assert silent_line(traded) == "2 of 2 channels; without a trade until 07:00: 1 (A.ZERO)"


def test_a_channel_is_not_quiet_before_it_was_subscribed() -> None:
    late = replace(activity(3, ZERO=[]), since={"A.ZERO": START + 2 * HOUR})
    bars = shown(channel_timeline(late, [part(0, 4)], [], SESSION))
    assert bars == [("A.ZERO", 2, 3, COLORS["quiet"])]


def test_a_channel_is_subscribed_since_it_was_in_every_set() -> None:
    sets = [
        {"accepted_at": START + hours * HOUR, "channels": channels}
        for hours, channels in ((-9, ["A.A", "A.B"]), (1, ["A.A"]), (2, ["A.A", "A.B", "A.C"]))
    ]
    later = START + 2 * HOUR
    assert subscribed_since(sets, START) == {"A.A": START, "A.B": later, "A.C": later}
    assert subscribed_since([], START) == {}


def test_nothing_is_said_of_channels_before_the_first_minute_bars() -> None:
    nothing = activity(None, ZERO=[])
    assert shown(channel_timeline(nothing, [part(0, 1)], [], SESSION)) == []
    assert "ZERO" not in silent_line(nothing)


def test_many_silent_channels_are_counted_and_some_are_named() -> None:
    silent = {f"S{number:02}": list[dt.datetime]() for number in range(SHOWN_SILENT + 1)}
    line = silent_line(activity(0, **silent, AAPL=starts(0)))
    assert line.startswith("11 of 12 channels; without a trade until 04:00: 11 (A.S00, A.S01, ")
    assert line.endswith(", A.S09, …)")
    assert silent_line(activity(0, AAPL=starts(0))) == "1 of 1 channels"
