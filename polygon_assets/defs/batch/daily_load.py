"""Loads trading days into the daily raw tables: the newest by an Airbyte sync, past ones by REST, each proved by the rows.

Each day is reported as soon as it is loaded, so that a run that is cut off leaves a record of the days it finished.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from polygon_assets.batch.airbyte.connector import CONNECTIONS, DAILY_CONNECTION, streams
from polygon_assets.batch.raw.queries import Held, daily_tables, days_read_since, open_close_tickers
from polygon_assets.defs.assets.airbyte import named_symbols
from polygon_assets.defs.batch.airbyte_sync import Sync, run_sync
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.defs.stream.decisions import is_settled
from polygon_assets.market_calendar import ADD_A_DAY, NEW_YORK, MarketCalendar
from polygon_assets.market_clock import REVISION_WINDOW, WALL_CLOCK, MarketClock
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from polygon_assets.clients.polygon import PolygonRest

TABLES = CONNECTIONS[DAILY_CONNECTION]
EVERY_TICKER, NAMED_TICKERS = TABLES
"""In the first each trading day must have rows; the second has them only for named symbols."""

READ_WITHIN = dt.timedelta(days=7)
"""A load that failed is tried again within hours; the first one that succeeds reports every row read since then."""
GIVEN_FROM = "on the free plan a day is given from midnight New York on"

MetadataByTable = Mapping[str, Mapping[str, dg.MetadataValue]]


@dataclass(frozen=True)
class DailyLoad:
    """One load. `report` is called with each loaded day, `say` with lines for the run's log.

    `last_reported` returns when each day was last reported, by any load; days never reported are left out.
    """

    settings: Settings
    calendar: MarketCalendar
    now: dt.datetime
    report: Callable[[dt.date, MetadataByTable], None]
    last_reported: Callable[[Collection[dt.date]], Mapping[dt.date, dt.datetime]]
    say: Callable[[str], None]
    clock: MarketClock = WALL_CLOCK
    """`now` and the times of loads are wall time; whether a day is over is the market's."""
    selected: Collection[str] = TABLES
    """Tables that are to be loaded by REST; a sync takes no selection."""

    @property
    def market_now(self) -> dt.datetime:
        return self.clock.market(self.now)

    def refuse_unsettled(self, days: Sequence[dt.date]) -> None:
        """Raises dg.Failure for a day that goes on: its bars would be those of a part of it."""
        for day in days:
            session = self.calendar.session(day)
            if session and not is_settled(self.calendar, day, self.market_now):
                final = (session.extended_close + REVISION_WINDOW).astimezone(NEW_YORK)
                raise dg.Failure(
                    f"{day} is not over: its bars are final from {final:%Y-%m-%d %H:%M} New York on",
                    allow_retries=False,
                )

    def sync(self, airbyte: Airbyte, day: dt.date) -> bool:
        """Sync the daily connection; whether the newest settled day has arrived, which on its own evening it need not have.

        Named symbols that the sync did not bring are asked for by REST: the list of tickers in Airbyte may be older than the set.
        Raises dg.Failure when the sync fails, or succeeds without a day that it must have brought, or the vendor refuses.
        """
        from polygon_assets.clients import snowflake

        sync = run_sync(airbyte, self.settings, DAILY_CONNECTION)
        with closing(snowflake.connect(self.settings)) as connection:
            held = daily_tables(connection, day)
            if not held[EVERY_TICKER].rows and self._is_young(day):
                return False
            self._prove(sync, held[EVERY_TICKER], day)
            rest_row_count = (
                self._fetch_unsynced(connection, day) if NAMED_TICKERS in self.selected else 0
            )
            held = daily_tables(connection, day) if rest_row_count else held
            self._report_others(connection, sync, day)
        metadata_by_table = {
            table: sync.metadata(table) | _metadata(held[table], "airbyte") for table in TABLES
        }
        metadata_by_table[NAMED_TICKERS]["rows_by_rest"] = dg.MetadataValue.int(rest_row_count)
        self.report(day, metadata_by_table)
        return True

    def _report_others(self, connection: "SnowflakeConnection", sync: Sync, day: dt.date) -> None:
        """Report the other days that a sync read: the day before, missed days, and all days of a new symbol.

        A sync does not re-read rows whose load failed, so every row read since the last report is reported here.
        """
        read = days_read_since(connection, self.now - READ_WITHIN)
        others = [
            other
            for other in read
            if other != day
            and other >= FIRST_DAY
            and is_settled(self.calendar, other, self.market_now)
        ]
        last_reported = self.last_reported(others)
        for other in others:
            held = daily_tables(connection, other)
            if held[EVERY_TICKER].rows and _is_news(held, last_reported.get(other)):
                self.report(
                    other,
                    {
                        table: sync.metadata(table) | _metadata(held[table], "airbyte")
                        for table in TABLES
                    },
                )
                self.say(f"{other} was read again since it was last reported")

    def fetch(self, days: Sequence[dt.date]) -> bool:
        """Fetch each day by REST under the token bucket and merge it, the newest first; whether they have arrived, as in `sync`.

        A plan reaches back so far and no further: days before that must not hold back the newer ones.
        Raises dg.Failure at once when the vendor refuses, and at the end when some days are there and others are not, or should be.
        """
        from polygon_assets.clients import snowflake
        from polygon_assets.clients.polygon import PolygonApiError, PolygonRest

        tickers, rest = named_symbols(self.settings) or (), PolygonRest(self.settings)
        done: list[dt.date] = []
        empty: list[dt.date] = []
        with closing(snowflake.connect(self.settings)) as connection:
            for day in sorted(days, reverse=True):
                try:
                    metadata_by_table = _fetch_day(rest, connection, day, tickers, self.selected)
                except PolygonApiError as error:
                    raise dg.Failure(
                        f"{day}: {error}; {_so_far(done)}", allow_retries=False
                    ) from error
                if metadata_by_table:
                    self.report(day, metadata_by_table)
                    done.append(day)
                    self.say(f"{day} is loaded, {len(done)} of {len(days)}")
                else:
                    empty.append(day)
        if late := [day for day in empty if not self._is_young(day)]:
            raise dg.Failure(
                f"the vendor has no bar of any ticker for {_listed(late)}; {ADD_A_DAY}; {_so_far(done)}",
                allow_retries=False,
            )
        if empty and done:
            raise dg.Failure(
                f"{_listed(empty)} is not over for the vendor: {GIVEN_FROM}; {_so_far(done)}",
                allow_retries=False,
            )
        return not empty

    def _fetch_unsynced(self, connection: "SnowflakeConnection", day: dt.date) -> int:
        """Fetch and merge official prices of the named symbols that the table does not have; of how many the vendor has some.

        The others were not traded that day. Raises dg.Failure when the vendor refuses.
        """
        from polygon_assets.batch.raw import daily_records, table_writer
        from polygon_assets.clients.polygon import PolygonApiError, PolygonRest

        unsynced = sorted(
            set(named_symbols(self.settings) or ()) - open_close_tickers(connection, day)
        )
        if not unsynced:
            return 0
        extracted_at = dt.datetime.now(dt.UTC)
        try:
            records = daily_records.daily_open_close(PolygonRest(self.settings), day, unsynced)
        except PolygonApiError as error:
            raise dg.Failure(
                f"{day} is synced, but without {', '.join(unsynced)}: {error}", allow_retries=False
            ) from error
        if records:
            table_writer.merge(connection, streams()[NAMED_TICKERS], records, extracted_at)
            self.say(
                f"{day}: the sync had no official prices of {', '.join(record['ticker'] for record in records)}; they came by REST"
            )
        return len(records)

    def _is_young(self, day: dt.date) -> bool:
        """Whether it is the evening of the day, when an answer without bars means nothing."""
        young = self.calendar.day_of(self.market_now) == day
        if young:
            self.say(f"the vendor has no bar of {day} yet; {GIVEN_FROM}")
        return young

    def _prove(self, sync: Sync, held: Held, day: dt.date) -> None:
        """Raises dg.Failure when the table does not hold the day as it was after its end."""
        session = self.calendar.session(day)
        if not held.rows:
            fault = f"has no row of {day}, a trading day ({ADD_A_DAY})"
        elif (
            session
            and held.extracted_at
            and self.clock.market(held.extracted_at) < session.extended_close
        ):
            fault = (
                f"holds {day} as it was at {held.extracted_at:%Y-%m-%d %H:%M} UTC, before its end"
            )
        else:
            return
        message = f"Airbyte's job {sync.job_id} succeeded, but RAW.{EVERY_TICKER.upper()} {fault}: look at start_date and end_date of its source"
        raise dg.Failure(
            message, {"airbyte_connection": dg.MetadataValue.url(sync.link)}, allow_retries=False
        )


def _fetch_day(
    rest: "PolygonRest",
    connection: "SnowflakeConnection",
    day: dt.date,
    tickers: Sequence[str],
    selected: Collection[str],
) -> MetadataByTable:
    """Empty where the vendor has no bar of the day, which the bars of all tickers prove for either table."""
    from polygon_assets.batch.raw import daily_records, table_writer

    extracted_at = dt.datetime.now(dt.UTC)
    bars = daily_records.grouped_daily(rest, day)
    if not bars:
        return {}
    prices = daily_records.daily_open_close(rest, day, tickers) if NAMED_TICKERS in selected else []
    # A table that is not selected gets no row, but has to be there to be counted.
    records = {EVERY_TICKER: bars if EVERY_TICKER in selected else [], NAMED_TICKERS: prices}
    written = {
        table: table_writer.merge(connection, streams()[table], records[table], extracted_at)
        for table in TABLES
    }
    held = daily_tables(connection, day)
    return {
        table: {
            "rows_inserted": dg.MetadataValue.int(written[table].inserted),
            "rows_updated": dg.MetadataValue.int(written[table].updated),
            **_metadata(held[table], "rest"),
        }
        for table in TABLES
        if table in selected
    }


def _is_news(held: Mapping[str, Held], last_reported: dt.datetime | None) -> bool:
    """Whether one of the tables was read after its day was last reported."""
    return last_reported is None or any(
        table.extracted_at and table.extracted_at > last_reported for table in held.values()
    )


def _metadata(held: Held, loaded_by: str) -> dict[str, dg.MetadataValue]:
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(held.rows),
        "rows_without_a_value": dg.MetadataValue.int(held.flawed_rows),
        "loaded_by": dg.MetadataValue.text(loaded_by),
    }


def _so_far(done: Sequence[dt.date]) -> str:
    return f"loaded are {_listed(done)}" if done else "no day is loaded"


def _listed(days: Sequence[dt.date]) -> str:
    return ", ".join(map(str, sorted(days)))
