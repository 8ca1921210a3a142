"""A session with intervals, gaps and bars by hours, for the tests of timelines."""

import datetime as dt
from typing import Any

from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.page.candles import wall_ms

START = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
HOUR, SECOND = dt.timedelta(hours=1), dt.timedelta(seconds=1)
SESSION = Interval(START, START + 16 * HOUR)


def part(since: float, until: float) -> Interval:
    return Interval(START + since * HOUR, START + until * HOUR)


def gap(since: float, until: float, state: str = "open", **changes: Any) -> dict[str, Any]:
    interval = part(since, until)
    plain = {"gap_id": "g", "since": interval.since, "until": interval.until, "note": ""}
    return plain | {"state": state, "cause": "crash", "channels": ["A.*"]} | changes


def shown(bars: dict[str, list[Any]]) -> list[tuple[str, float, float, str]]:
    """Row, hours since the start, and colour of each bar."""
    zero = wall_ms(START)
    return [
        (row, (left - zero) / 3_600_000, (right - zero) / 3_600_000, color)
        for row, left, right, color in zip(
            bars["row"], bars["left"], bars["right"], bars["color"], strict=True
        )
    ]
