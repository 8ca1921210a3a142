"""What Snowflake's marts know of a symbol: adjusted days and splits.

Add a question about the marts here; its SQL belongs to `batch/marts/queries`.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from polygon_assets.batch.marts import queries
from polygon_assets.market.connection import MarketError
from polygon_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection


def adjusted(symbol: str, settings: Settings | None = None) -> "pa.Table":
    """Every trading day of a symbol in the newest day's shares, oldest first.

    Columns: ticker, trading_day, price_factor, open, high, low, close, vwap, volume. Raises
    MarketError.
    """
    with warehouse(settings) as connection:
        return queries.answer(connection, "adjusted_days", ticker=symbol)


def splits(symbol: str, settings: Settings | None = None) -> "pa.Table":
    """The splits of a symbol, announced ones included, oldest first.

    Columns: execution_date, split_from (old shares), split_to (new ones), status. Raises
    MarketError.
    """
    with warehouse(settings) as connection:
        return queries.answer(connection, "splits", ticker=symbol)


@contextmanager
def warehouse(settings: Settings | None = None) -> Iterator["SnowflakeConnection"]:
    """A session of Snowflake for a block; raises MarketError, also for what fails in the block."""
    from snowflake.connector.errors import Error

    from polygon_assets.clients import snowflake

    settings = settings or load_settings()
    try:
        with closing(snowflake.connect(settings)) as connection:
            yield connection
    except (Error, snowflake.SnowflakeError) as error:
        raise MarketError(
            f"the marts of {settings.snowflake_database} cannot be read "
            f"({settings.conceal(str(error))}): the assets snowflake/marts/* build them"
        ) from error
