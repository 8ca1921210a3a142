"""What is known to be complete: the coverage of a symbol's day, and the gap ledger.

Add a question about completeness here; who fills gaps belongs to `gap_filling`.
"""

import datetime as dt
from typing import TYPE_CHECKING

from polygon_assets.market.bars import session_of
from polygon_assets.market.connection import Connection, opened

if TYPE_CHECKING:
    import pyarrow as pa


def coverage(symbol: str, day: dt.date, *, connection: Connection | None = None) -> "pa.Table":
    """A trading day of a symbol as intervals of equal status, from pre-market to post-market.

    Columns: status (traded, quiet: proved that nothing was traded, unknown), since, until
    (excluded), seconds. Today's ends now. Raises MarketError.
    """
    with opened(connection) as asked:
        session = session_of(asked, day)
        until = max(session.extended_open, min(asked.now(), session.extended_close))
        until = until.replace(microsecond=0)
        window = {"symbol": symbol, "from": session.extended_open, "to": until}
        return asked.read("coverage", **window)


def newest_day(*, connection: Connection | None = None) -> dt.date:
    """Today where the market has opened, or the trading day before. Raises MarketError."""
    with opened(connection) as asked:
        return asked.newest_day()


def gaps(*, connection: Connection | None = None) -> "pa.Table":
    """Every gap with its newest state, oldest first.

    Columns: those of `market.stream_gaps`, such as since, until (market time), cause, channels,
    state (open, filling, filled, verified, unfillable, waived), rows_added, rows_corrected. Raises
    MarketError.
    """
    with opened(connection) as asked:
        return asked.read("gap_ledger")
