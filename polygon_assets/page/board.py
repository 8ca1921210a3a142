"""The board of all symbols as a table, computed once a second for all visitors: pure functions.

Add a column of the board here; how it is shown belongs to `market_view`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.serving.gap_ledger import SETTLED

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Sequence[Mapping[str, Any]]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Patches = dict[str, list[tuple[int | slice, Any]]]
NUMBERS = ("last", "change %", "volume", "age s")
COLUMNS = ("symbol", *NUMBERS, "finality")
SETTLES_AFTER = REVISION_WINDOW + dt.timedelta(seconds=1)
"""A second may be corrected for so long after its start."""


def board(
    last: "pa.Table", closes: Mapping[str, float], gaps: Rows, now: dt.datetime
) -> pd.DataFrame:
    """One row a symbol: its newest price, the change since the previous close, shares of the day.

    `closes` are the previous closes in today's shares. A price is provisional while its second may
    be corrected, or while a gap over these minutes is neither verified nor waived. NaN where
    something is not known, such as a volume that the vendor did not send.
    """
    symbols = last["symbol"].to_pylist()
    price = last["close"].to_numpy()
    before = np.array([closes.get(symbol, np.nan) for symbol in symbols])
    age = _seconds_since(last["last_timestamp"], now)
    return pd.DataFrame(
        {
            "symbol": symbols,
            "last": price,
            "change %": np.round(100 * (price / before - 1), 2),
            "volume": last["accumulated_volume"].cast("float64").to_numpy(),
            "age s": np.maximum(0, np.floor(age)),
            "finality": np.where(_may_change(symbols, age, gaps, now), "provisional", "settled"),
        },
        columns=list(COLUMNS),
    )


def changes(before: pd.DataFrame, after: pd.DataFrame) -> Patches | None:
    """What turns one board into a later one, by column; None if their symbols differ.

    Numbers come whole: they travel as bytes, a hundred times cheaper than texts, of which only
    those that changed come.
    """
    if not before["symbol"].equals(after["symbol"]):
        return None
    whole = slice(0, len(after))
    patches: Patches = {
        name: [(whole, after[name].to_numpy())]
        for name in NUMBERS
        if not after[name].equals(before[name])
    }
    changed = np.flatnonzero(after["finality"] != before["finality"]).tolist()
    if changed:
        values = after["finality"].to_numpy()
        patches["finality"] = [(row, values[row]) for row in changed]
    return patches


def _may_change(symbols: Sequence[str], age: Floats, gaps: Rows, now: dt.datetime) -> Flags:
    """Whether each symbol's newest second, `age` seconds old, may get other values."""
    window = SETTLES_AFTER.total_seconds()
    changing = age < window
    for gap in (gap for gap in gaps if gap["state"] not in SETTLED):
        since, until = ((now - gap[end]).total_seconds() for end in ("since", "until"))
        concerned = not gap["channels"] or "A.*" in gap["channels"]
        of_symbol = concerned or np.isin(symbols, [name[2:] for name in gap["channels"]])
        changing |= (age > until) & (age - window < since) & of_symbol
    return changing


def _seconds_since(times: "pa.ChunkedArray", now: dt.datetime) -> Floats:
    seconds: Floats = now.timestamp() - times.cast("int64").to_numpy() / 1000
    return seconds
