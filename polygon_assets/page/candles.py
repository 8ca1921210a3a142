"""Candles as columns for a chart: colours, marks, times, and what changed since: pure functions.

Add what a candle shows here; drawing belongs to `candle_chart`.
"""

import datetime as dt
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from polygon_assets.market_calendar import (
    NEW_YORK,
    CalendarHorizonError,
    MarketCalendar,
    Session,
)
from polygon_assets.serving.gap_ledger import concerns

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
"""Colour by state; any other state looks like `gap`."""
ADJUSTING = ("applied", "decided")
"""Statuses of splits that change prices; announced ones have them before their day too."""
UNKNOWN_FINALITY = "not known any more"
HOUR_MS = 3_600_000
MARKS = ("", "filled", "corrected", "filled and corrected")
"""Filled counts 1, corrected 2."""
NUMBERS = ("start", "open", "high", "low", "close", "volume", "mark_at", "count")
NAMES = (*NUMBERS, "color", "mark", "label")
"""What is known of a candle; `count` says how many bars it stands for."""


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


def wall_milliseconds(moments: pa.ChunkedArray) -> np.ndarray:
    """`wall_ms` of many moments; New York's distance to UTC changes at whole hours only."""
    unix = moments.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()
    hours, place = np.unique(unix // HOUR_MS, return_inverse=True)
    begins = [dt.datetime.fromtimestamp(3600 * int(hour), dt.UTC) for hour in hours]
    ahead = np.array([wall_ms(begin) - 1000 * begin.timestamp() for begin in begins], float)
    shown: np.ndarray = unix + ahead[place]
    return shown


def columns_of(bars: pa.Table) -> Columns:
    """The columns NAMES of bars as `market.bars` returns them."""
    if not bars.num_rows:
        return {name: [] for name in NAMES}
    opened, high, low, close, volume = (
        bars[name].cast(pa.float64()).to_numpy()
        for name in ("open", "high", "low", "close", "volume")
    )
    filled, corrected = (
        bars[name].to_numpy() > 0 if name in bars.column_names else np.zeros(len(close), bool)
        for name in ("seconds_from_rest", "revisions")
    )
    columns = {
        "start": wall_milliseconds(bars["start"]),
        **{"open": opened, "high": high, "low": low, "close": close, "volume": volume},
        "color": colors(opened, close),
        "mark": np.array(MARKS)[filled + 2 * corrected],
        "mark_at": np.where(filled | corrected, high, np.nan),
        "count": np.ones(len(close)),
    }
    labels = bars["finality"].fill_null(UNKNOWN_FINALITY).to_pylist()
    return {name: column.tolist() for name, column in columns.items()} | {"label": labels}


def colors(opened: np.ndarray, close: np.ndarray) -> np.ndarray:
    """The colour of each candle's direction."""
    return np.select([close > opened, close < opened], [UP, DOWN], SAME)


def columns_of_days(adjusted: pa.Table, calendar: MarketCalendar) -> Columns:
    """The columns NAMES of days as `market.adjusted` returns them, at their regular open."""
    sessions = [_session(calendar, day) for day in adjusted["trading_day"].to_pylist()]
    opens = [session.regular_open for session in sessions if session]
    traded = adjusted.filter(pa.array([session is not None for session in sessions], pa.bool_()))
    return columns_of(
        traded.append_column("start", pa.array(opens, pa.timestamp("ms", "UTC"))).append_column(
            "finality", pa.array(["adjusted for splits"] * len(opens), pa.string())
        )
    )


def last_closes(seconds: pa.Table, width: int) -> Columns:
    """The last close of each interval of `width` seconds; the rows are ordered by time."""
    closes: dict[int, float] = {}
    for moment, close in zip(
        seconds["start_timestamp"].to_pylist(), seconds["close"].to_pylist(), strict=True
    ):
        closes[int(moment.timestamp()) // width * width] = close
    starts = [wall_ms(dt.datetime.fromtimestamp(start, dt.UTC)) for start in closes]
    return {"start": starts, "close": list(closes.values())}


def split_marks(splits: pa.Table, calendar: MarketCalendar) -> Columns:
    """A mark for each split that prices are adjusted for, or that is announced: place and ratio.

    Entries without a day or a ratio are left out, and so are days beyond the calendar.
    """
    marks = [
        (wall_ms(session.regular_open), f"{split['split_to']:g} for {split['split_from']:g}")
        for split in splits.to_pylist()
        if None not in split.values() and split["status"] in ADJUSTING
        if (session := _session(calendar, split["execution_date"]))
    ]
    return {"at": [at for at, _ in marks], "label": [label for _, label in marks]}


def _session(calendar: MarketCalendar, day: dt.date) -> Session | None:
    try:
        return calendar.session(day)
    except CalendarHorizonError:
        return None


def joined(older: Columns, newer: Columns) -> Columns:
    """Older columns followed by newer ones; where both have a candle, the newer one."""
    first = newer["start"][0] if len(newer["start"]) else float("inf")
    kept = bisect_left(older["start"], first)
    return {name: [*older[name][:kept], *newer[name]] for name in NAMES}


def later(columns: Columns, start: float) -> Columns:
    """The candles that begin after `start`, a place on the axis."""
    first = bisect_right(columns["start"], start)
    return {name: columns[name][first:] for name in NAMES}


def changes(known: Columns, newest: Columns) -> Changes:
    """What changed between a chart's columns and newer ones of its end; both oldest first.

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
