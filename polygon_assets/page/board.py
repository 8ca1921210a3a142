"""The board of all symbols as a table, computed once a second for all visitors: pure functions.

Add a column of the board here; how it is shown belongs to `market_view`.
"""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from polygon_assets.market_calendar import REVISION_WINDOW

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("symbol", "last", "change %", "volume", "age s", "finality")
SETTLES_AFTER = REVISION_WINDOW + dt.timedelta(seconds=1)
"""A second may be corrected for so long after its start."""


def board(last: "pa.Table", closes: Mapping[str, float], now: dt.datetime) -> pd.DataFrame:
    """One row a symbol: its newest price, the change since the previous close, shares of the day.

    `closes` are the previous closes in today's shares. The volume is the vendor's, or that of the
    newest second where the vendor sent none. NaN where something is not known.
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
            "finality": np.where(age < SETTLES_AFTER.total_seconds(), "provisional", "settled"),
        },
        columns=list(COLUMNS),
    )


def _seconds_since(
    times: "pa.ChunkedArray", now: dt.datetime
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    milliseconds = times.cast("int64").to_numpy()
    seconds: np.ndarray[tuple[int], np.dtype[np.float64]] = now.timestamp() - milliseconds / 1000
    return seconds
