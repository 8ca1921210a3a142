"""The newest prices of symbols, and how they changed.

Add a question about prices now here; bars belong to `bars`, earlier knowledge to `versions`.
"""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polygon_assets.market.connection import Connection, opened, utc

if TYPE_CHECKING:
    import pyarrow as pa


def last(symbols: Sequence[str] = (), *, connection: Connection | None = None) -> "pa.Table":
    """The newest second of each symbol, of all by default, by symbol.

    Columns: symbol, last_timestamp, close (dollars), volume, accumulated_volume (shares, null where
    the vendor sent none), last_received_at. Raises MarketError.
    """
    with opened(connection) as asked:
        return asked.read("last_prices", symbols=list(symbols))


def movers(limit: int = 10, *, connection: Connection | None = None) -> "pa.Table":
    """The symbols whose price changed most within 10 s, up or down, largest change first.

    Columns: symbol, last_timestamp, last_price, price_10s_ago, delta_price_10s (dollars),
    percentage_change_10s, volume_70s (shares). Raises MarketError.
    """
    with opened(connection) as asked:
        return asked.read("top_movers", now=asked.now(), limit=limit)


def delta(
    symbol: str, start: dt.datetime, end: dt.datetime, *, connection: Connection | None = None
) -> "pa.Table":
    """Each second of a symbol with its change over 10 s; null where there was no price before.

    Columns: symbol, start_timestamp, close, volume, price_10s_ago, delta_price_10s,
    percentage_change_10s. Raises MarketError.
    """
    since, until = utc(start), utc(end)
    with opened(connection) as asked:
        return asked.read("delta_10s", **{"symbol": symbol, "from": since, "to": until})
