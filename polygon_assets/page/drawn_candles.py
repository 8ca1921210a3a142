"""Which candles are drawn: each, or one for an interval where there are too many; pure functions.

Add a rule about what a visitor can tell apart here; what one candle shows belongs to `candles`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from polygon_assets.page.candles import MARKS, NAMES, NUMBERS, UNKNOWN_FINALITY, Columns, colors

MOST_VISIBLE = 4_000
"""Candles that are drawn one by one: the pixels of a wide screen."""
BACK_TO_EACH = 0.9
"""Merged candles are drawn one by one again below this share of MOST_VISIBLE, so that a symbol
which trades now and then does not change its look each second."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
FINALITY = ("provisional", UNKNOWN_FINALITY, "revised", "final", "verified", "adjusted for splits")
"""From the least settled on."""


def step_of(
    starts: Sequence[float], shown: tuple[float, float], width_ms: float, before: int = 1
) -> int:
    """How many places of the axis, each `width_ms` wide, one candle stands for.

    `before` is the answer for the part of the axis that was visible until now.
    """
    since, until = shown
    visible = bisect_right(starts, until) - bisect_left(starts, since)
    if visible <= MOST_VISIBLE * (1.0 if before == 1 else BACK_TO_EACH):
        return 1
    places = (until - since) / width_ms
    return next((step for step in STEPS if places <= step * MOST_VISIBLE), STEPS[-1])


def part_of(columns: Columns, since: float, until: float) -> Columns:
    """The candles that begin in a part of the axis, its end excluded."""
    first, last = (bisect_left(columns["start"], place) for place in (since, until))
    return {name: columns[name][first:last] for name in NAMES}


def merged(columns: Columns, width_ms: float) -> Columns:
    """One candle for each interval of `width_ms` with candles; it begins with its first one.

    Its volume is their sum, its finality that of the least settled, its mark that of any of them.
    """
    if not columns["start"]:
        return columns
    numbers = {name: np.asarray(columns[name], float) for name in NUMBERS}
    intervals = numbers["start"] // width_ms
    first = np.flatnonzero(np.diff(intervals, prepend=np.nan) != 0)
    opened = numbers["open"][_first_known(numbers["open"], first)]
    close = numbers["close"][_last_known(numbers["close"], first)]
    mark = np.bitwise_or.reduceat(_places(MARKS, columns["mark"]), first)
    settled = np.minimum.reduceat(_places(FINALITY, columns["label"]), first)
    result = {
        "start": numbers["start"][first],
        "open": opened,
        "high": np.fmax.reduceat(numbers["high"], first),
        "low": np.fmin.reduceat(numbers["low"], first),
        "close": close,
        "volume": np.add.reduceat(np.nan_to_num(numbers["volume"]), first),
        "color": colors(opened, close),
        "mark": np.array(MARKS)[mark],
        "mark_at": np.fmax.reduceat(numbers["mark_at"], first),
        "label": np.array(FINALITY)[settled],
        "count": np.add.reduceat(numbers["count"], first),
    }
    return {name: result[name].tolist() for name in NAMES}


def _places(words: Sequence[str], column: Sequence[str]) -> np.ndarray:
    place = {word: index for index, word in enumerate(words)}
    return np.array([place[word] for word in column])


def _first_known(prices: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The place of each interval's first price that is known; of its first where none is."""
    beyond = len(prices)
    places = np.where(np.isnan(prices), beyond, np.arange(beyond))
    found = np.minimum.reduceat(places, first)
    return np.where(found == beyond, first, found)


def _last_known(prices: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The place of each interval's last price that is known; of its first where none is."""
    places = np.where(np.isnan(prices), -1, np.arange(len(prices)))
    found = np.maximum.reduceat(places, first)
    return np.where(found == -1, first, found)
