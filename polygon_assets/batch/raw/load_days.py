"""Loads trading days into the daily raw tables: the newest by an Airbyte sync, past days by REST.

Add how a day is loaded or proved here; which days a run takes belongs to the graph. Each day is
reported as soon as it is loaded, so that an interrupted run leaves a record of its finished days.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polygon_assets.batch.airbyte.connector import CONNECTIONS, DAILY_CONNECTION, streams
from polygon_assets.batch.airbyte.sync import Sync
from polygon_assets.batch.raw.queries import (
    TableContents,
    daily_tables,
    days_read_since,
    open_close_tickers,
)
from polygon_assets.clients.subscription_store import named_symbols
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.market_calendar import ADD_A_DAY, NEW_YORK, MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from polygon_assets.clients.polygon import PolygonRest

TABLES = CONNECTIONS[DAILY_CONNECTION]
EVERY_TICKER, NAMED_TICKERS = TABLES
"""Each trading day has rows in the first table; in the second one only named symbols have rows."""

READ_WITHIN = dt.timedelta(days=7)
"""A failed load is retried within hours; the first success reports every row read since then."""
FREE_PLAN_DELAY = "the free plan includes a day from the following midnight in New York on"

Metadata = Mapping[str, int | float | str]
MetadataByTable = Mapping[str, Metadata]


class DayLoadError(PolygonAssetsError):
    """Days were not loaded, and a retry would not load them either; the message gives the cause.

    `link` is the address of the Airbyte connection if a sync is the cause.
    """

    def __init__(self, message: str, link: str = "") -> None:
        super().__init__(message)
        self.link = link


@dataclass(frozen=True)
class DailyLoad:
    """One load of one or more days."""

    settings: Settings
    calendar: MarketCalendar
    first_day: dt.date
    """Earlier days are not reported."""
    now: dt.datetime
    """Wall time, like the times of loads; whether a day is over is the market's time."""
    report: Callable[[dt.date, MetadataByTable], None]
    """Called with each loaded day."""
    last_reported: Callable[[Collection[dt.date]], Mapping[dt.date, dt.datetime]]
    """When each day was last reported, by any load; days never reported are left out."""
    log: Callable[[str], None]
    """Called with lines for the run's log."""
    clock: MarketClock = WALL_CLOCK
    selected: Collection[str] = TABLES
    """The tables to load by REST; a sync takes no selection."""

    @property
    def market_now(self) -> dt.datetime:
        return self.clock.market(self.now)

    def refuse_unsettled(self, days: Sequence[dt.date]) -> None:
        """Raises DayLoadError for an unfinished day, whose bars would cover only a part of it."""
        for day in days:
            session = self.calendar.session(day)
            if session and not self.calendar.is_settled(day, self.market_now):
                final = session.settled_at.astimezone(NEW_YORK)
                raise DayLoadError(
                    f"{day} is not over: its bars are final from {final:%Y-%m-%d %H:%M} New York on"
                )

    def sync(self, run_sync: Callable[[], Sync], day: dt.date) -> bool:
        """Sync the daily connection; returns whether `day`, the newest settled day, has arrived.

        On its own evening a day may still be missing. Named symbols that the sync left out are
        requested by REST: Airbyte's list of tickers may be older than the subscription set.

        Raises DayLoadError when the sync succeeds without a day that must be there, or when the
        vendor refuses; and the errors of `run_sync` and Snowflake.
        """
        from polygon_assets.batch.raw import table_writer
        from polygon_assets.clients import snowflake

        sync = run_sync()
        with closing(snowflake.connect(self.settings)) as connection:
            # A manifest that was not provisioned after an upgrade lacks the newest columns.
            for table in TABLES:
                table_writer.ensure(connection, streams()[table])
            contents = daily_tables(connection, day)
            if not contents[EVERY_TICKER].rows and self._is_young(day):
                self._log_no_bar_yet(day)
                return False
            self._prove(sync, contents[EVERY_TICKER], day)
            rest_row_count = 0
            if NAMED_TICKERS in self.selected:
                rest_row_count = self._fetch_unsynced(connection, day)
            contents = daily_tables(connection, day) if rest_row_count else contents
            self._report_others(connection, sync, day)
        metadata_by_table = _synced_metadata(sync, contents)
        metadata_by_table[NAMED_TICKERS]["rows_by_rest"] = rest_row_count
        self.report(day, metadata_by_table)
        return True

    def fetch(self, days: Sequence[dt.date]) -> bool:
        """Fetch and merge each day by REST, newest first; returns whether all have arrived.

        The newest come first, because a plan reaches back a limited time and a refused old day must
        not hold back newer ones.

        Raises DayLoadError at once when the vendor refuses, and at the end when only some days
        arrived or when a day that must be there did not; and the errors of Snowflake.
        """
        from polygon_assets.clients import snowflake
        from polygon_assets.clients.polygon import PolygonRest
        from polygon_assets.clients.polygon_answers import PolygonApiError

        tickers, rest = named_symbols(self.settings) or (), PolygonRest(self.settings)
        done: list[dt.date] = []
        empty: list[dt.date] = []
        with closing(snowflake.connect(self.settings)) as connection:
            for day in sorted(days, reverse=True):
                try:
                    metadata = _fetch_day(rest, connection, day, tickers, self.selected)
                except PolygonApiError as error:
                    raise DayLoadError(f"{day}: {error}; {_so_far(done)}") from error
                if metadata:
                    self.report(day, metadata)
                    done.append(day)
                    self.log(f"{day} is loaded, {len(done)} of {len(days)}")
                else:
                    empty.append(day)
        self._refuse_empty(empty, done)
        return not empty

    def _refuse_empty(self, empty: Sequence[dt.date], done: Sequence[dt.date]) -> None:
        young = [day for day in empty if self._is_young(day)]
        for day in young:
            self._log_no_bar_yet(day)
        if late := sorted(set(empty) - set(young)):
            raise DayLoadError(
                f"the vendor has no bar of any ticker for {_listed(late)}; {ADD_A_DAY}; "
                f"{_so_far(done)}"
            )
        if empty and done:
            raise DayLoadError(
                f"the vendor has no bar of {_listed(empty)} yet: {FREE_PLAN_DELAY}; {_so_far(done)}"
            )

    def _report_others(self, connection: "SnowflakeConnection", sync: Sync, day: dt.date) -> None:
        """Report the other days that a sync read: the day before, missed days, new symbols' days.

        A sync does not re-read rows whose load failed, so every row read since the last report is
        reported here.
        """
        others = [
            other
            for other in days_read_since(connection, self.now - READ_WITHIN)
            if other != day
            and other >= self.first_day
            and self.calendar.is_settled(other, self.market_now)
        ]
        last_reported = self.last_reported(others)
        for other in others:
            contents = daily_tables(connection, other)
            if contents[EVERY_TICKER].rows and _is_news(contents, last_reported.get(other)):
                self.report(other, _synced_metadata(sync, contents))
                self.log(f"{other} was read again since it was last reported")

    def _fetch_unsynced(self, connection: "SnowflakeConnection", day: dt.date) -> int:
        """Fetch and merge official prices of named symbols that the table lacks; returns the count.

        The vendor has no prices of symbols that were not traded that day.
        """
        from polygon_assets.batch.raw import daily_records, table_writer
        from polygon_assets.clients.polygon import PolygonRest
        from polygon_assets.clients.polygon_answers import PolygonApiError

        named = set(named_symbols(self.settings) or ())
        unsynced = sorted(named - open_close_tickers(connection, day))
        if not unsynced:
            return 0
        extracted_at = dt.datetime.now(dt.UTC)
        try:
            records = daily_records.daily_open_close(PolygonRest(self.settings), day, unsynced)
        except PolygonApiError as error:
            missing = ", ".join(unsynced)
            raise DayLoadError(f"{day} is synced, but without {missing}: {error}") from error
        if records:
            table_writer.merge(connection, streams()[NAMED_TICKERS], records, extracted_at)
            tickers = ", ".join(record["ticker"] for record in records)
            self.log(f"{day}: the sync had no official prices of {tickers}; REST had them")
        return len(records)

    def _is_young(self, day: dt.date) -> bool:
        """Whether it is still the evening of `day`, when an answer without bars proves nothing."""
        return self.calendar.day_of(self.market_now) == day

    def _log_no_bar_yet(self, day: dt.date) -> None:
        self.log(f"the vendor has no bar of {day} yet; {FREE_PLAN_DELAY}")

    def _prove(self, sync: Sync, table: TableContents, day: dt.date) -> None:
        """Raises DayLoadError when the table lacks the day, or was read before the day ended."""
        session = self.calendar.session(day)
        if not table.rows:
            problem = f"is empty for {day}, a trading day ({ADD_A_DAY})"
        elif (
            session
            and table.extracted_at
            and self.clock.market(table.extracted_at) < session.extended_close
        ):
            read_at = f"{table.extracted_at:%Y-%m-%d %H:%M} UTC"
            problem = f"holds {day} as it was at {read_at}, before its end"
        else:
            return
        raise DayLoadError(
            f"Airbyte job {sync.job_id} succeeded, but RAW.{EVERY_TICKER.upper()} {problem}: "
            "check start_date and end_date of the source",
            sync.link,
        )


def _fetch_day(
    rest: "PolygonRest",
    connection: "SnowflakeConnection",
    day: dt.date,
    tickers: Sequence[str],
    selected: Collection[str],
) -> MetadataByTable:
    """Fetch and merge one day; empty if the vendor has no bar of any ticker.

    The bars of all tickers prove the day for both tables.
    """
    from polygon_assets.batch.raw import daily_records, table_writer

    extracted_at = dt.datetime.now(dt.UTC)
    bars = daily_records.grouped_daily(rest, day)
    if not bars:
        return {}
    prices = daily_records.daily_open_close(rest, day, tickers) if NAMED_TICKERS in selected else []
    # An unselected table gets no row, but must exist to be counted.
    records = {EVERY_TICKER: bars if EVERY_TICKER in selected else [], NAMED_TICKERS: prices}
    written = {
        table: table_writer.merge(connection, streams()[table], records[table], extracted_at)
        for table in TABLES
    }
    contents = daily_tables(connection, day)
    return {
        table: {
            "rows_inserted": written[table].inserted,
            "rows_updated": written[table].updated,
            **_contents_metadata(contents[table], "rest"),
        }
        for table in TABLES
        if table in selected
    }


def _is_news(contents: Mapping[str, TableContents], last_reported: dt.datetime | None) -> bool:
    """Whether one of the tables was read after its day was last reported."""
    if last_reported is None:
        return True
    read_at = (table.extracted_at for table in contents.values() if table.extracted_at)
    return any(moment > last_reported for moment in read_at)


def _synced_metadata(
    sync: Sync, contents: Mapping[str, TableContents]
) -> dict[str, dict[str, int | float | str]]:
    return {
        table: {**sync.metadata(table), **_contents_metadata(contents[table], "airbyte")}
        for table in TABLES
    }


def _contents_metadata(table: TableContents, loaded_by: str) -> Metadata:
    return {
        "dagster/partition_row_count": table.rows,
        "rows_without_a_value": table.flawed_rows,
        "loaded_by": loaded_by,
    }


def _so_far(done: Sequence[dt.date]) -> str:
    return f"loaded are {_listed(done)}" if done else "no day is loaded"


def _listed(days: Sequence[dt.date]) -> str:
    return ", ".join(map(str, sorted(days)))
