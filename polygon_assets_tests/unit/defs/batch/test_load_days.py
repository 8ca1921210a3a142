"""When a day counts as loaded: the tables' rows decide, not a sync without an error."""

import datetime as dt
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from polygon_assets.batch.airbyte.sync import Sync
from polygon_assets.batch.raw import daily_records, load_days, table_writer
from polygon_assets.batch.raw.load_days import TABLES, DailyLoad, DayLoadError, MetadataByTable
from polygon_assets.batch.raw.queries import TableContents
from polygon_assets.batch.raw.table_writer import Written
from polygon_assets.clients import snowflake
from polygon_assets.clients.airbyte.job_outcome import StreamCounts
from polygon_assets.clients.polygon_answers import PolygonApiError
from polygon_assets.defs.assets import snowflake_raw
from polygon_assets.defs.graph.keys import DAILY_OPEN_CLOSE, GROUPED_DAILY
from polygon_assets.defs.graph.partitions import FIRST_DAY, trading_days
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN, OpenMarket

FRIDAY = dt.date(2026, 11, 20)
THURSDAY, WEDNESDAY = FRIDAY - dt.timedelta(days=1), FRIDAY - dt.timedelta(days=2)


def at(day: dt.date, time: str) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.fromisoformat(time), NEW_YORK).astimezone(dt.UTC)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> dict[dt.date, TableContents]:
    """The rows that Snowflake holds of each day; syncs and merges succeed and add none."""
    contents: dict[dt.date, TableContents] = {}

    def daily_tables(_connection: object, day: dt.date) -> Mapping[str, TableContents]:
        return {
            "grouped_daily": contents.get(day, TableContents(0, None)),
            "daily_open_close": TableContents(0, None),
        }

    def days_read_since(_connection: object, moment: dt.datetime) -> list[dt.date]:
        return sorted(
            day
            for day, one in contents.items()
            if one.extracted_at is None or one.extracted_at >= moment
        )

    monkeypatch.setattr(load_days, "daily_tables", daily_tables)
    monkeypatch.setattr(load_days, "days_read_since", days_read_since)
    monkeypatch.setattr(load_days, "open_close_tickers", lambda *_: set())
    monkeypatch.setattr(load_days, "named_symbols", lambda _settings: ["AAPL"])
    monkeypatch.setattr(snowflake, "connect", lambda _settings: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(table_writer, "ensure", lambda *_: None)
    monkeypatch.setattr(table_writer, "merge", lambda *_: Written(1, 1, 0))
    monkeypatch.setattr(daily_records, "daily_open_close", lambda *_: [])
    return contents


def synced() -> Sync:
    return Sync(7, 1.0, "http://airbyte", {"grouped_daily": StreamCounts(5, 5)})


def load(
    now: dt.datetime,
    reported: dict[dt.date, MetadataByTable],
    last_reported: Mapping[dt.date, dt.datetime] | None = None,
) -> DailyLoad:
    """`last_reported`: when earlier runs reported each day."""
    return DailyLoad(
        ALWAYS_OPEN,
        MarketCalendar("NYSE"),
        FIRST_DAY,
        now,
        reported.__setitem__,
        lambda _days: last_reported or {},
        lambda _text: None,
    )


def test_a_day_that_goes_on_is_refused_with_the_time_from_which_it_is_final() -> None:
    day_load = load(at(FRIDAY, "17:00"), {})
    day_load.refuse_unsettled([THURSDAY])
    with pytest.raises(
        DayLoadError,
        match="2026-11-20 is not over: its bars are final from 2026-11-20 20:15 New York",
    ):
        day_load.refuse_unsettled([THURSDAY, FRIDAY])


class TestSync:
    def test_a_day_that_the_table_holds_is_told_with_what_was_synced(
        self, tables: dict[dt.date, TableContents]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        tables[FRIDAY] = TableContents(5, at(FRIDAY, "20:21"))
        assert load(at(FRIDAY, "20:20"), reported).sync(synced, FRIDAY)
        metadata = reported[FRIDAY]["grouped_daily"]
        assert (metadata["rows_synced"], metadata["dagster/partition_row_count"]) == (
            5,
            5,
        )
        assert (metadata["airbyte_job"], metadata["loaded_by"]) == (7, "airbyte")

    def test_other_days_that_the_sync_read_again_are_told_too_but_none_that_goes_on_or_has_no_bars(
        self, tables: dict[dt.date, TableContents]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        monday = FRIDAY + dt.timedelta(days=3)
        tables |= {
            WEDNESDAY: TableContents(4, at(FRIDAY, "20:21")),
            THURSDAY: TableContents(0, None),
            FRIDAY: TableContents(5, at(FRIDAY, "20:21")),
        }
        tables[monday] = TableContents(3, at(FRIDAY, "20:21"))
        assert load(at(FRIDAY, "20:20"), reported).sync(synced, FRIDAY)
        assert reported.keys() == {WEDNESDAY, FRIDAY}
        assert reported[WEDNESDAY]["grouped_daily"]["dagster/partition_row_count"] == 4

    def test_what_an_earlier_sync_read_and_no_run_told_is_told_by_the_next_one(
        self, tables: dict[dt.date, TableContents]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        tables |= {day: TableContents(4, at(FRIDAY, "20:21")) for day in (WEDNESDAY, THURSDAY)} | {
            FRIDAY: TableContents(5, at(FRIDAY, "20:51"))
        }
        last_reported = {WEDNESDAY: at(FRIDAY, "20:22"), THURSDAY: at(THURSDAY, "20:22")}
        assert load(at(FRIDAY, "20:50"), reported, last_reported).sync(synced, FRIDAY)
        assert reported.keys() == {THURSDAY, FRIDAY}

    def test_named_symbols_that_the_sync_did_not_bring_come_by_rest_where_they_were_traded(
        self, tables: dict[dt.date, TableContents], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merged: list[object] = []

        def only_nvda(_rest: object, _day: dt.date, tickers: list[str]) -> list[dict[str, Any]]:
            assert tickers == ["MSFT", "NVDA"]
            return [{"ticker": "NVDA"}]

        monkeypatch.setattr(load_days, "named_symbols", lambda _settings: ["AAPL", "MSFT", "NVDA"])
        monkeypatch.setattr(load_days, "open_close_tickers", lambda *_: {"AAPL"})
        monkeypatch.setattr(daily_records, "daily_open_close", only_nvda)
        monkeypatch.setattr(
            table_writer,
            "merge",
            lambda _connection, stream, records, _at: merged.append((stream.name, records)),
        )
        reported: dict[dt.date, MetadataByTable] = {}
        tables[FRIDAY] = TableContents(5, at(FRIDAY, "20:21"))
        assert load(at(FRIDAY, "20:20"), reported).sync(synced, FRIDAY)
        assert merged == [("daily_open_close", [{"ticker": "NVDA"}])]
        assert reported[FRIDAY]["daily_open_close"]["rows_by_rest"] == 1

    def test_symbols_of_which_the_vendor_refuses_the_prices_are_a_failure(
        self, tables: dict[dt.date, TableContents], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PolygonApiError("/v1/open-close: HTTP 403")

        monkeypatch.setattr(daily_records, "daily_open_close", refuse)
        reported: dict[dt.date, MetadataByTable] = {}
        tables[FRIDAY] = TableContents(5, at(FRIDAY, "20:21"))
        with pytest.raises(
            DayLoadError, match="2026-11-20 is synced, but without AAPL: /v1/open-close: HTTP 403"
        ):
            load(at(FRIDAY, "20:20"), reported).sync(synced, FRIDAY)
        assert reported == {}

    def test_on_its_own_evening_a_day_without_rows_is_not_there_yet_and_no_failure(
        self, tables: dict[dt.date, TableContents]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        assert tables == {}
        assert not load(at(FRIDAY, "20:20"), reported).sync(synced, FRIDAY)
        assert reported == {}

    def test_later_a_sync_that_succeeds_without_the_day_is_a_failure(
        self, tables: dict[dt.date, TableContents]
    ) -> None:
        assert tables == {}
        with pytest.raises(
            DayLoadError,
            match=r"job 7 succeeded, but RAW.GROUPED_DAILY is empty for 2026-11-20, a trading day "
            r"\(.*MARKET_CLOSURES.*: check",
        ):
            load(at(FRIDAY + dt.timedelta(days=1), "00:20"), {}).sync(synced, FRIDAY)

    def test_rows_that_were_read_before_the_end_of_the_day_prove_nothing(
        self, tables: dict[dt.date, TableContents]
    ) -> None:
        tables[FRIDAY] = TableContents(5, at(FRIDAY, "19:59"))
        with pytest.raises(
            DayLoadError, match="holds 2026-11-20 as it was at 2026-11-21 00:59 UTC, before its end"
        ):
            load(at(FRIDAY, "20:20"), {}).sync(synced, FRIDAY)


class TestFetch:
    NOW = at(FRIDAY + dt.timedelta(days=1), "12:00")

    @pytest.fixture
    def vendor(
        self, monkeypatch: pytest.MonkeyPatch, tables: dict[dt.date, TableContents]
    ) -> dict[dt.date, list[dict[str, Any]] | None]:
        """The vendor's bars by day; None is a refusal."""
        bars: dict[dt.date, list[dict[str, Any]] | None] = {}

        def grouped_daily(_rest: object, day: dt.date) -> list[dict[str, Any]]:
            if (found := bars[day]) is None:
                raise PolygonApiError("/v2/aggs/grouped: HTTP 403")
            tables[day] = TableContents(len(found), self.NOW)
            return found

        monkeypatch.setattr(daily_records, "grouped_daily", grouped_daily)
        return bars

    def test_the_newest_day_comes_first_and_a_refusal_ends_the_range_and_names_what_is_done(
        self, vendor: dict[dt.date, list[dict[str, Any]] | None]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        vendor |= {WEDNESDAY: [{}], THURSDAY: None, FRIDAY: [{}]}
        with pytest.raises(
            DayLoadError, match="2026-11-19: /v2/aggs/grouped: HTTP 403; loaded are 2026-11-20"
        ):
            load(self.NOW, reported).fetch([WEDNESDAY, THURSDAY, FRIDAY])
        assert set(reported) == {FRIDAY}

    def test_a_day_without_a_bar_fails_the_run_but_not_the_days_before_it(
        self, vendor: dict[dt.date, list[dict[str, Any]] | None]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        vendor |= {WEDNESDAY: [{}], THURSDAY: [], FRIDAY: [{}]}
        with pytest.raises(
            DayLoadError,
            match=r"no bar of any ticker for 2026-11-19; .*MARKET_CLOSURES.*; "
            r"loaded are 2026-11-18, 2026-11-20",
        ):
            load(self.NOW, reported).fetch([WEDNESDAY, THURSDAY, FRIDAY])
        assert list(reported) == [FRIDAY, WEDNESDAY]

    def test_the_evening_of_a_day_is_too_early_for_a_failure_but_nothing_has_arrived(
        self, vendor: dict[dt.date, list[dict[str, Any]] | None]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        vendor |= {FRIDAY: []}
        assert not load(at(FRIDAY, "20:20"), reported).fetch([FRIDAY])
        assert reported == {}

    def test_a_range_with_a_day_that_the_vendor_does_not_give_yet_fails_after_the_others(
        self, vendor: dict[dt.date, list[dict[str, Any]] | None]
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        vendor |= {THURSDAY: [{}], FRIDAY: []}
        with pytest.raises(
            DayLoadError,
            match=r"no bar of 2026-11-20 yet: the free plan .*; "
            r"loaded are 2026-11-19",
        ):
            load(at(FRIDAY, "20:20"), reported).fetch([THURSDAY, FRIDAY])
        assert set(reported) == {THURSDAY}

    def test_a_run_ends_after_the_day_that_it_is_at_when_the_dagster_above_it_was_stopped(
        self,
        vendor: dict[dt.date, list[dict[str, Any]] | None],
        instance: dg.DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        first, last = dt.date(2026, 1, 2), dt.date(2026, 1, 5)
        vendor |= {first: [{}], last: [{}]}
        monkeypatch.setattr(snowflake_raw, "is_intact", lambda _line: False)
        result = dg.materialize(
            [snowflake_raw.load_daily_tables(trading_days(MarketCalendar("NYSE")))],
            instance=instance,
            resources={"environment": OpenMarket(), "airbyte": Airbyte()},
            tags={
                ASSET_PARTITION_RANGE_START_TAG: str(first),
                ASSET_PARTITION_RANGE_END_TAG: str(last),
            },
            raise_on_error=False,
        )
        [event] = result.filter_events(lambda one: one.is_step_failure)
        assert event.step_failure_data.user_failure_data
        assert "2026-01-05 is loaded, but the Dagster that started this run was stopped" in str(
            event.step_failure_data.user_failure_data.description
        )
        assert instance.get_materialized_partitions(GROUPED_DAILY) == {str(last)}

    @pytest.mark.parametrize(
        ("selected", "loaded"),
        [
            ([GROUPED_DAILY], {"grouped_daily"}),
            ([DAILY_OPEN_CLOSE], {"daily_open_close"}),
            ([GROUPED_DAILY, DAILY_OPEN_CLOSE], set(TABLES)),
        ],
    )
    def test_a_table_that_is_asked_for_alone_is_loaded_alone(
        self,
        vendor: dict[dt.date, list[dict[str, Any]] | None],
        instance: dg.DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
        selected: list[dg.AssetKey],
        loaded: set[str],
    ) -> None:
        day, merged = dt.date(2026, 1, 5), dict[str, int]()
        vendor |= {day: [{}, {}]}
        monkeypatch.setattr(daily_records, "daily_open_close", lambda *_: [{}])
        monkeypatch.setattr(
            table_writer,
            "merge",
            lambda _, stream, records, __: (
                merged.update({stream.name: len(records)}) or Written(1, 1, 0)
            ),
        )
        result = dg.materialize(
            [snowflake_raw.load_daily_tables(trading_days(MarketCalendar("NYSE")))],
            selection=selected,
            instance=instance,
            resources={"environment": OpenMarket(), "airbyte": Airbyte()},
            partition_key=str(day),
        )
        assert result.success
        assert {table for table, rows in merged.items() if rows} == loaded
        for key in (GROUPED_DAILY, DAILY_OPEN_CLOSE):
            assert instance.get_materialized_partitions(key) == (
                {str(day)} if key in selected else set()
            )

    def test_rows_without_a_value_are_counted_on_the_assets_page(
        self, vendor: dict[dt.date, list[dict[str, Any]] | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reported: dict[dt.date, MetadataByTable] = {}
        vendor |= {FRIDAY: [{}]}
        monkeypatch.setattr(
            load_days,
            "daily_tables",
            lambda *_: dict.fromkeys(TABLES, TableContents(5, self.NOW, 2)),
        )
        assert load(self.NOW, reported).fetch([FRIDAY])
        assert {reported[FRIDAY][table]["rows_without_a_value"] for table in TABLES} == {2}
