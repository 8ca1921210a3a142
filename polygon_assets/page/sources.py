"""What the page reads again and again, how often, and in which form its views get it.

Add a source here; a question that Python and the shell ask too belongs to `polygon_assets.market`.
"""

import datetime as dt
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pyarrow.compute as pc

from polygon_assets import market
from polygon_assets.batch.marts import queries
from polygon_assets.clients import market_clock
from polygon_assets.inspection import tables
from polygon_assets.market import Connection
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import Heartbeat
from polygon_assets.page.channel_coverage import Activity, Coverage, coverage_of
from polygon_assets.page.readings import Reader, Reading, Source
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WILDCARD, channel_of, symbol_of

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

Rows = list[dict[str, Any]]
LIVE_SECONDS = 0.2
"""How often the page looks for new rows."""
AGES_SECONDS = 1.0
"""Without new rows the prices are read again after this time, because they have grown older."""
DELAYS_WINDOW = dt.timedelta(minutes=5)
BEATS_MARGIN = dt.timedelta(minutes=1)
SAMPLE = 50
SHOWN_CHANNELS = 30
ON_ITS_WAY = dt.timedelta(seconds=20)
"""A second that is younger may not be stored yet: no trade is no proof. As `second_status`."""


@dataclass(frozen=True, eq=False)
class Prices:
    """The newest price of every symbol at a moment of the market."""

    last: "pa.Table"
    now: dt.datetime

    @property
    def newest(self) -> dt.datetime | None:
        """The start of the newest second of all symbols; None without one."""
        moment: dt.datetime | None = pc.max(self.last["last_timestamp"]).as_py()
        return moment


class NewestPrices:
    """The newest prices, read as soon as rows have come."""

    def __init__(self) -> None:
        self._block: Rows = []
        self._read_at = -math.inf
        self._prices: Prices | None = None

    def ask(self, connection: Connection) -> Prices:
        """The same object as before while nothing has changed."""
        block, now = _rows("newest_block", connection), time.monotonic()
        if self._prices is None or block != self._block or now - self._read_at >= AGES_SECONDS:
            self._block, self._read_at = block, now
            self._prices = Prices(market.last(connection=connection), connection.now())
        return self._prices


class Beats:
    """The producer's heartbeats of today's session; each question adds what is new."""

    def __init__(self) -> None:
        self._day: dt.date | None = None
        self._beats: dict[tuple[int, str], Heartbeat] = {}

    def ask(self, connection: Connection) -> Coverage:
        """What a producer proved to have covered today."""
        now = connection.now()
        day = connection.newest_day()
        session = connection.calendar.session(day)
        if session is None:
            return Coverage()
        if day != self._day:
            self._day, self._beats = day, {}
        newest = max((sent_at for sent_at, _ in self._beats), default=0)
        since = max(session.extended_open, dt.datetime.fromtimestamp(newest / 1000, dt.UTC))
        interval = (since - BEATS_MARGIN, now)
        for beat in tables.heartbeats_between(connection.settings, "producer", [interval]):
            self._beats[beat.sent_at, beat.instance] = beat
        return coverage_of([self._beats[key] for key in sorted(self._beats)])


class Delays:
    """How late rows arrived, by minute since the page started; each question adds what is new."""

    def __init__(self) -> None:
        self._minutes: dict[dt.datetime, dict[str, Any]] = {}

    def ask(self, connection: Connection) -> Rows:
        """By minute of receipt, oldest first: minute, rows, p50, p99 (seconds)."""
        since = dt.datetime.now(dt.UTC) - DELAYS_WINDOW
        whole = since.replace(second=0, microsecond=0)
        for row in connection.read("arrival_delays", since=whole).to_pylist():
            self._minutes[row["minute"]] = row
        return [self._minutes[minute] for minute in sorted(self._minutes)][-24 * 60 :]


def _rows(name: str, connection: Connection) -> Rows:
    return cast("Rows", connection.read(name).to_pylist())


def _gaps(connection: Connection) -> Rows:
    return cast("Rows", market.gaps(connection=connection).to_pylist())


def _movers(connection: Connection) -> Rows:
    return cast("Rows", market.movers(connection=connection).to_pylist())


def _filled_days(connection: Connection) -> Rows:
    """The days with one-minute bars; the moments as market time, which differs in a replay."""
    clock = connection.clock()
    return [
        {**row, "filled_at": clock.market(row["filled_at"])}
        for row in connection.read("filled_days").to_pylist()
    ]


def _rates(connection: Connection) -> Rows:
    """Rows by minute of today and of the trading day before."""
    day = connection.newest_day()
    before = connection.calendar.previous_day(day)
    rows = connection.read("rates_by_minute", day=day, before=before).to_pylist()
    return [{**row, "is_today": row["trading_day"] == day} for row in rows]


def _activity(connection: Connection) -> Activity:
    """When each subscribed channel traded today, as far as the one-minute bars are filled."""
    day = connection.newest_day()
    session = connection.calendar.session(day)
    # Read first: a filling that ends meanwhile would make channels quiet whose bars are older.
    filled = [row for row in _filled_days(connection) if row["trading_day"] == day]
    if session is None or not filled:
        return Activity()
    sets = connection.read("followed_sets", since=session.extended_open).to_pylist()
    channels = frozenset(sets[0]["channels"]) if sets else frozenset()
    symbols = [] if WILDCARD in channels else list(map(symbol_of, channels))
    chosen = {"day": day, "symbols": symbols, "limit": SHOWN_CHANNELS}
    rows = connection.read("traded_intervals", **chosen).to_pylist() if channels else []
    silent = sorted(channels - {channel_of(row["symbol"]) for row in rows} - {WILDCARD})
    busiest = {channel_of(row["symbol"]): row["intervals"] for row in rows[:SHOWN_CHANNELS]}
    return Activity(
        intervals=dict.fromkeys(silent, ()) | busiest,
        sets={row["version"]: frozenset(row["channels"]) for row in sets},
        channel_count=len(symbols) or len(rows),
        known_until=min(filled[0]["filled_at"] - ON_ITS_WAY, filled[0]["newest_minute"]),
    )


def _usage(connection: Connection) -> Rows:
    """What today has used so far, and the share of its session that has passed."""
    day, now = connection.newest_day(), connection.now()
    session = connection.calendar.session(day)
    if session is None:
        return []
    used = connection.read("usage", day=day, since=session.extended_open).to_pylist()
    whole = session.extended_close - session.extended_open
    return [{**row, "passed": min(1.0, (now - session.extended_open) / whole)} for row in used]


def _refusals(connection: Connection) -> Rows:
    """The refusals of the last day by reason."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    anything = {"ids": [], "program": "", "stage": "", "reason": "", "replayed": "any"}
    window = {"since": since, "until": dt.datetime(2100, 1, 1, tzinfo=dt.UTC), "limit": SAMPLE}
    return cast("Rows", connection.read("dead_letter_counts", **anything, **window).to_pylist())


def _lags(connection: Connection) -> Rows:
    """Each stream program within a day; heartbeats have wall time, also in a replay."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    return cast("Rows", connection.read("program_lags", since=since).to_pylist())


def _closes(settings: Settings, warehouse: "SnowflakeConnection") -> Mapping[str, float]:
    now = market_clock.connect(settings).market(dt.datetime.now(dt.UTC))
    day = calendar_of(settings).day_of(now)
    closes = queries.answer(warehouse, "previous_closes", day=day)
    return dict(zip(closes["ticker"].to_pylist(), closes["close"].to_pylist(), strict=True))


def _compared(warehouse: "SnowflakeConnection") -> Rows:
    return cast("Rows", queries.answer(warehouse, "compared_days").to_pylist())


class Sources:
    """All sources, read by one thread for each system."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clickhouse: Reader[Connection] = Reader(
            "ClickHouse", partial(market.connect, settings)
        )
        self.warehouse: Reader[SnowflakeConnection] = Reader(
            "Snowflake", partial(market.warehouse, settings)
        )
        sources: list[Source[Connection, Any]] = [
            Source("prices", LIVE_SECONDS, NewestPrices().ask),
            Source("movers", 1.0, _movers),
            Source("gaps", 2.0, _gaps),
            Source("coverage", 5.0, Beats().ask),
            Source("delays", 10.0, Delays().ask),
            Source("refusals", 10.0, _refusals),
            Source("lags", 10.0, _lags),
            Source("alerts", 5.0, partial(_rows, "firing_alerts")),
            Source("filled days", 60.0, _filled_days),
            Source("rates", 30.0, _rates),
            Source("activity", 60.0, _activity),
            Source("usage", 30.0, _usage),
            Source("channels", 30.0, partial(_rows, "newest_subscription_set")),
        ]
        for source in sources:
            self.clickhouse.watch(source.name, source)
        self.warehouse.watch("closes", Source("closes", 300.0, partial(_closes, settings)))
        self.warehouse.watch("compared days", Source("compared days", 300.0, _compared))

    def start(self) -> None:
        self.clickhouse.start()
        self.warehouse.start()

    def prices(self) -> Reading[Prices]:
        return cast("Reading[Prices]", self.clickhouse.reading("prices"))

    def rows(self, name: str) -> Reading[Rows]:
        """Movers, gaps, delays, refusals, lags, alerts, filled days, rates, usage or channels."""
        return cast("Reading[Rows]", self.clickhouse.reading(name))

    def coverage(self) -> Reading[Coverage]:
        return cast("Reading[Coverage]", self.clickhouse.reading("coverage"))

    def activity(self) -> Reading[Activity]:
        return cast("Reading[Activity]", self.clickhouse.reading("activity"))

    def closes(self) -> Reading[Mapping[str, float]]:
        """The previous closes by symbol, in today's shares."""
        return cast("Reading[Mapping[str, float]]", self.warehouse.reading("closes"))

    def compared_days(self) -> Reading[Rows]:
        return cast("Reading[Rows]", self.warehouse.reading("compared days"))
