"""The connection that questions share, and how a named query becomes an Arrow table.

Add what every question needs here; the questions belong to the modules of their subjects.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from polygon_assets.clients import clickhouse, market_clock
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import Error


class MarketError(PolygonAssetsError):
    """A question cannot be answered; the message names the value or the server, and the cure."""


@dataclass(frozen=True)
class Connection:
    """An open connection to ClickHouse; threads must not share one."""

    settings: Settings
    client: "Client"

    @cached_property
    def calendar(self) -> MarketCalendar:
        return calendar_of(self.settings)

    def clock(self) -> MarketClock:
        """The wall clock, or the clock of a replay. Raises MarketError."""
        try:
            return market_clock.connect(self.settings)
        except market_clock.MarketClockError as error:
            raise MarketError(str(error)) from error

    def now(self) -> dt.datetime:
        """The market time. Raises MarketError."""
        return self.clock().market(dt.datetime.now(dt.UTC))

    def newest_day(self) -> dt.date:
        """Today where the market has opened, or the trading day before."""
        now = self.now()
        day = self.calendar.day_of(now)
        session = self.calendar.session(day)
        return day if session and session.extended_open <= now else self.calendar.previous_day(day)

    def read(self, name: str, **parameters: Any) -> "pa.Table":
        """The answer of `serving/queries/<name>.sql`."""
        return self.client.query_arrow(load(name), parameters=parameters)


@contextmanager
def connect(settings: Settings | None = None) -> Iterator[Connection]:
    """A connection for a block, to the ClickHouse of `settings` (default: the environment's).

    Raises MarketError, also for what fails in the block.
    """
    settings = settings or load_settings()
    with clickhouse.connected(settings, MarketError, _explain) as client:
        yield Connection(settings, client)


def opened(connection: Connection | None) -> AbstractContextManager[Connection]:
    """The given connection, or a new one for a single question."""
    return nullcontext(connection) if connection else connect()


def utc(moment: dt.datetime) -> dt.datetime:
    """A moment in UTC. Raises MarketError for one without a zone: New York and UTC are both usual.

    ClickHouse's parameters are read in UTC.
    """
    if moment.tzinfo is None:
        raise MarketError(f"{moment} has no time zone: write datetime(…, tzinfo=datetime.UTC)")
    return moment.astimezone(dt.UTC)


def _explain(settings: Settings, error: "Error") -> str:
    server = f"{settings.clickhouse_host}:{settings.clickhouse_port}"
    return f"ClickHouse at {server}: {settings.conceal(str(error))}"
