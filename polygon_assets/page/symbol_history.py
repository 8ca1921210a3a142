"""The bars that the view of one symbol loads: history, newest bars, and closes as known earlier.

Add what is read about one symbol here; what a visitor chooses belongs to `symbol_choice`, what a
candle shows to `candles`. The functions block, so the view runs them in a thread.
"""

import datetime as dt
import math
from dataclasses import dataclass, replace

import pyarrow as pa

from polygon_assets import market
from polygon_assets.market import Connection, MarketError
from polygon_assets.market_clock import calendar_of
from polygon_assets.page.candles import (
    Columns,
    columns_of,
    columns_of_days,
    joined,
    last_closes,
    later,
    split_marks,
)
from polygon_assets.page.readings import Source
from polygon_assets.page.sources import LIVE_SECONDS, Sources
from polygon_assets.page.symbol_choice import Chosen

LOADED_BARS = 600
"""The time of so many bars is loaded at least."""
TAIL_BARS = 3
COVERAGE_SECONDS = 60.0
SECOND = dt.timedelta(seconds=1)


def tail(chosen: Chosen) -> Source[Connection, pa.Table]:
    """The newest bars, asked for all who look at them."""

    def ask(connection: Connection) -> pa.Table:
        now = connection.now()
        since = now - max(TAIL_BARS * chosen.width, dt.timedelta(seconds=20))
        return market.bars(chosen.symbol, since, now, chosen.every, connection=connection)

    return Source(f"{chosen.symbol} {chosen.every}", LIVE_SECONDS, ask)


def day_coverage(symbol: str) -> Source[Connection, pa.Table]:
    """The day of a symbol as intervals: traded, quiet or unknown."""

    def ask(connection: Connection) -> pa.Table:
        return market.coverage(symbol, connection.newest_day(), connection=connection)

    return Source(f"{symbol} coverage", COVERAGE_SECONDS, ask)


@dataclass(frozen=True)
class History:
    """Candles, splits among them, and why older ones are missing."""

    candles: Columns
    splits: Columns
    problem: str = ""
    window: tuple[dt.datetime, dt.datetime] | None = None
    """What is visible at first."""
    adjusted_until: float = -math.inf
    """The newest day of the marts: streamed days, which nobody adjusts, follow it."""


NO_SPLITS: Columns = {"at": [], "label": []}


def first_history(sources: Sources, chosen: Chosen) -> History:
    """The candles that are loaded first, and what of them is visible; as `history`."""
    with market.connect(sources.settings) as connection:
        begin, end = chosen.window(connection.calendar, connection.now())
        loaded = _history(connection, sources, chosen, end + chosen.width, begin)
    return replace(loaded, window=(begin, end))


def recent_history(sources: Sources, chosen: Chosen, begin: dt.datetime) -> History:
    """The candles from `begin` to now; as `history`."""
    with market.connect(sources.settings) as connection:
        end = connection.now() + chosen.width
        return _history(connection, sources, chosen, end, begin)


def history(
    sources: Sources, chosen: Chosen, end: dt.datetime, begin: dt.datetime | None = None
) -> History:
    """The candles from `begin` to `end`, more where that is few; blocks, so run it in a thread.

    Days are those of the marts, as far as there are any, followed by the streamed ones.
    """
    with market.connect(sources.settings) as connection:
        return _history(connection, sources, chosen, end, begin)


def _history(
    connection: Connection,
    sources: Sources,
    chosen: Chosen,
    end: dt.datetime,
    begin: dt.datetime | None,
) -> History:
    candles = columns_of(streamed(connection, chosen, end, begin))
    if not chosen.is_of_days:
        return History(candles, NO_SPLITS)
    calendar = calendar_of(sources.settings)
    try:
        days = columns_of_days(market.adjusted(chosen.symbol, sources.settings), calendar)
        splits = split_marks(market.splits(chosen.symbol, sources.settings), calendar)
    except MarketError as error:
        return History(candles, NO_SPLITS, f"Only streamed days are shown, not adjusted: {error}")
    newest = days["start"][-1] if days["start"] else -math.inf
    return History(joined(days, later(candles, newest)), splits, adjusted_until=newest)


def streamed(
    connection: Connection, chosen: Chosen, end: dt.datetime, begin: dt.datetime | None = None
) -> pa.Table:
    """The bars from `begin` to `end`, at least LOADED_BARS places.

    Across a night or a gap, those before the newest stored second.
    """

    def before(end: dt.datetime) -> pa.Table:
        start = min(begin or end, end - LOADED_BARS * chosen.width)
        return market.bars(chosen.symbol, start, end, chosen.every, connection=connection)

    bars = before(end)
    if bars.num_rows:
        return bars
    newest = connection.read("newest_second_before", symbol=chosen.symbol, before=end)
    moment = newest["newest"][0].as_py()
    return bars if moment is None else before(moment + SECOND)


def known_at(sources: Sources, chosen: Chosen, start: dt.datetime, end: dt.datetime) -> Columns:
    """The close of each candle as it was known at the chosen moment."""
    assert chosen.at is not None
    with market.connect(sources.settings) as connection:
        rows = market.as_known_at(chosen.symbol, chosen.at, start, end, connection=connection)
    return last_closes(rows, chosen.seconds)
