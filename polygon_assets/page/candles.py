"""Candles as columns for a chart: colours, marks, times, and what changed since: pure functions.

Add what a candle shows here; drawing belongs to `candle_chart`.
"""

import datetime as dt
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.serving.gap_ledger import concerns

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, list[Any]]
UP, DOWN, SAME = "#26a69a", "#ef5350", "#9e9e9e"
COLORS = {
    "streamed": "#4caf50",
    "quiet": "#aed581",
    "verified": "#26a69a",
    "filled": "#ffb300",
    "filling": "#ffb300",
    "waived": "#9e9e9e",
    "gap": "#ef5350",
}
"""Of an interval by its state; a gap in any other state has the colour of `gap`."""
NAMES = ("start", "open", "high", "low", "close", "volume", "color", "mark", "mark_at", "label")


@dataclass(frozen=True)
class Changes:
    """What brings a chart's columns up to date: cells of known candles, and new candles."""

    patches: dict[str, list[tuple[int, Any]]]
    added: Columns

    def __bool__(self) -> bool:
        return bool(self.patches or self.added["start"])


def wall_ms(moment: dt.datetime) -> float:
    """New York's wall time as Unix milliseconds, which the chart's axis shows as it is."""
    return moment.astimezone(NEW_YORK).replace(tzinfo=dt.UTC).timestamp() * 1000


def moment_of(wall: float) -> dt.datetime:
    """The moment of a place on the chart's axis, in UTC."""
    naive = dt.datetime.fromtimestamp(wall / 1000, dt.UTC).replace(tzinfo=NEW_YORK)
    return naive.astimezone(dt.UTC)


def columns_of(bars: "pa.Table") -> Columns:
    """The columns NAMES of bars as `market.bars` returns them."""
    rows = bars.to_pylist()
    return {name: [value[name] for value in map(_candle, rows)] for name in NAMES}


def columns_of_days(adjusted: "pa.Table", calendar: MarketCalendar) -> Columns:
    """The columns NAMES of days as `market.adjusted` returns them, at their regular open."""
    bars = [
        {**day, "start": session.regular_open, "finality": "adjusted for splits"}
        for day in adjusted.to_pylist()
        if (session := calendar.session(day["trading_day"]))
    ]
    return {name: [value[name] for value in map(_candle, bars)] for name in NAMES}


def last_closes(seconds: "pa.Table", width: int) -> Columns:
    """The last close of each interval of `width` seconds; the rows are ordered by time."""
    closes: dict[int, float] = {}
    for moment, close in zip(
        seconds["start_timestamp"].to_pylist(), seconds["close"].to_pylist(), strict=True
    ):
        closes[int(moment.timestamp()) // width * width] = close
    starts = [wall_ms(dt.datetime.fromtimestamp(start, dt.UTC)) for start in closes]
    return {"start": starts, "close": list(closes.values())}


def split_marks(splits: "pa.Table", calendar: MarketCalendar) -> Columns:
    """A mark for each executed or announced split: its place on the axis, and its ratio.

    None where the vendor's entry lacks the day or a part of the ratio.
    """
    known = (split for split in splits.to_pylist() if None not in split.values())
    marks = [
        (wall_ms(session.regular_open), f"{split['split_to']:g} for {split['split_from']:g}")
        for split in known
        if (session := calendar.session(split["execution_date"]))
    ]
    return {"at": [at for at, _ in marks], "label": [label for _, label in marks]}


def joined(older: Columns, newer: Columns) -> Columns:
    """Older columns followed by newer ones; where both have a candle, the newer one."""
    first = newer["start"][0] if newer["start"] else float("inf")
    kept = sum(start < first for start in older["start"])
    return {name: older[name][:kept] + newer[name] for name in NAMES}


def later(columns: Columns, start: float) -> Columns:
    """The candles that begin after `start`, a place on the axis."""
    first = bisect_right(columns["start"], start)
    return {name: columns[name][first:] for name in NAMES}


def _candle(bar: Mapping[str, Any]) -> dict[str, Any]:
    marks = [
        *(["filled"] if bar.get("seconds_from_rest") else []),
        *(["corrected"] if bar.get("revisions") else []),
    ]
    return {
        "start": wall_ms(bar["start"]),
        **{name: bar[name] for name in ("open", "high", "low", "close")},
        "volume": float(bar["volume"]),
        "color": UP if bar["close"] > bar["open"] else DOWN if bar["close"] < bar["open"] else SAME,
        "mark": " and ".join(marks),
        "mark_at": bar["high"] if marks else np.nan,
        "label": bar.get("finality") or "not known any more",
    }


def changes(known: Columns, newest: Columns) -> Changes:
    """The difference between a chart's columns and newer ones of its end; both oldest first.

    A chart that has no candle yet is loaded as a whole, so nothing changes in it.
    """
    starts = known["start"]
    first = bisect_left(starts, newest["start"][0]) if newest["start"] else len(starts)
    place = {starts[index]: index for index in range(first, len(starts))}
    end = starts[-1] if len(starts) else float("inf")
    patches: dict[str, list[tuple[int, Any]]] = {}
    added: Columns = {name: [] for name in NAMES}
    for row, start in enumerate(newest["start"]):
        if start in place:
            for name in NAMES:
                value = newest[name][row]
                if not _same(known[name][place[start]], value):
                    patches.setdefault(name, []).append((place[start], value))
        elif start > end:
            for name in NAMES:
                added[name].append(newest[name][row])
    return Changes(patches, added)


def _same(first: Any, second: Any) -> bool:
    missing = [isinstance(value, float) and math.isnan(value) for value in (first, second)]
    return all(missing) or first == second


def shaded(gaps: Sequence[Mapping[str, Any]], channel: str, since: float, until: float) -> Columns:
    """The gaps of a channel as coloured intervals of the axis, between two of its places."""
    shown: Columns = {"left": [], "right": [], "color": [], "label": []}
    for gap in gaps:
        left, right = wall_ms(gap["since"]), wall_ms(gap["until"])
        if concerns(gap["channels"], channel) and left < until and right > since:
            shown["left"].append(left)
            shown["right"].append(right)
            shown["color"].append(COLORS.get(gap["state"], COLORS["gap"]))
            shown["label"].append(f"{gap['cause']}: {gap['state']}")
    return shown
