"""What was known when: the versions of seconds in the order of their receipt.

Add a question about earlier knowledge here; the newest version of everything belongs to `bars`.
"""

import datetime as dt
from typing import TYPE_CHECKING

from polygon_assets.market.connection import Connection, opened, utc

if TYPE_CHECKING:
    import pyarrow as pa


def as_known_at(
    symbol: str,
    at: dt.datetime,
    start: dt.datetime,
    end: dt.datetime,
    *,
    connection: Connection | None = None,
) -> "pa.Table":
    """Each second of a symbol as it was known at a moment (wall time), later corrections left out.

    Columns: those of `market.stock_aggregates`. Raises MarketError.
    """
    window = {"symbol": symbol, "from": utc(start), "to": utc(end), "at": utc(at)}
    with opened(connection) as asked:
        return asked.read("as_known_at", **window)


def versions(
    symbol: str, start: dt.datetime, end: dt.datetime, *, connection: Connection | None = None
) -> "pa.Table":
    """Every version of each second of a symbol, and whether the second may still change.

    Columns: symbol, start_timestamp, version (1 is the first), versions, revisions, finality,
    received_at, source, open, high, low, close, volume, vwap. Raises MarketError.
    """
    window = {"symbol": symbol, "from": utc(start), "to": utc(end)}
    with opened(connection) as asked:
        return asked.read("versions", **window, now=asked.now())
