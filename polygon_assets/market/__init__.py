"""Questions about the stored market, answered as Arrow tables: `market.bars("AAPL", …)`.

    from polygon_assets import market

    market.last().to_pandas()
    market.bars("AAPL", start, end, every="1m")
    with market.connect() as connection:  # one connection for several questions
        market.coverage("AAPL", day, connection=connection)

Settings come from the environment, as everywhere. Times are aware: UTC in the tables, any zone in
the questions. Add a question to the module of its subject; its SQL belongs to `serving/queries`.
"""

from polygon_assets.market.bars import EVERY, bars, day
from polygon_assets.market.connection import Connection, MarketError, connect
from polygon_assets.market.coverage import coverage, gaps, newest_day
from polygon_assets.market.marts import adjusted, splits, warehouse
from polygon_assets.market.prices import delta, last, movers
from polygon_assets.market.versions import as_known_at, versions

__all__ = [
    "EVERY",
    "Connection",
    "MarketError",
    "adjusted",
    "as_known_at",
    "bars",
    "connect",
    "coverage",
    "day",
    "delta",
    "gaps",
    "last",
    "movers",
    "newest_day",
    "splits",
    "versions",
    "warehouse",
]
