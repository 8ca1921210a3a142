"""snowflake/raw/*: the tables that Airbyte writes; REST fills past days of the daily ones.

Add a raw table's description here; loading days belongs to `batch.raw.load_days`. The columns come
from the connector's manifest, so that the graph loads with Airbyte down; a test compares the two.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from polygon_assets.batch.airbyte.connector import (
    CONNECTIONS,
    DAILY_CONNECTION,
    REFERENCE_CONNECTION,
    Stream,
    streams,
    whole_streams,
)
from polygon_assets.batch.raw import last_good, table_writer
from polygon_assets.batch.raw.last_good import Judged
from polygon_assets.batch.raw.load_days import TABLES, DailyLoad, DayLoadError, MetadataByTable
from polygon_assets.batch.raw.queries import TableContents, newest_ticker_change, reference_tables
from polygon_assets.defs.batch.airbyte_sync import run_sync
from polygon_assets.defs.batch.backlogs import NEWEST_CHANGE
from polygon_assets.defs.batch.decisions import DAYS_PER_RUN, goes_through_airbyte
from polygon_assets.defs.graph.dagster_processes import dagster_ancestors, is_intact
from polygon_assets.defs.graph.descriptions import OWNERS, described, table_schema
from polygon_assets.defs.graph.keys import (
    AIRBYTE_SOURCE,
    DAILY_OPEN_CLOSE,
    GROUPED_DAILY,
    POLYGON_REST,
    TICKERS,
    raw,
)
from polygon_assets.defs.graph.materializations import materialized_at
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.defs.graph.pools import VENDOR_REQUESTS
from polygon_assets.defs.graph.resources import Airbyte, Environment
from polygon_assets.defs.graph.runs import log_while_running
from polygon_assets.required_settings import missing_settings

META_MEANINGS = {
    "_AIRBYTE_RAW_ID": "Airbyte's identifier of the record",
    "_AIRBYTE_EXTRACTED_AT": "when the record was read from the vendor",
    "_AIRBYTE_META": "what Airbyte had to change in the record",
    "_AIRBYTE_GENERATION_ID": "counts the refreshes of the table; 0 where REST filled it",
}
MAY_BE_EMPTY = ("stock_split",)
WHOLE = whole_streams()
_WEEKLY = "synced when the vendor changes a ticker (asked hourly) and every Sunday evening."
_DAILY = (
    "the newest day is synced 15 min after its extended close (on the free plan after midnight); "
    "past days are loaded on request."
)
_REFERENCE_WRONG = (
    "the failed run names the reason in Airbyte's words; materialize the table to sync all four "
    "again, which replaces their rows."
)
_DAILY_WRONG = (
    "materialize the day again: each ticker's row is replaced by what the vendor sends now; the "
    "row of a bar that it has withdrawn stays until it is deleted by hand. A range is loaded in "
    f"runs of {DAYS_PER_RUN} days, the newest day of each first; days that are done stay done when "
    "one fails."
)
DESCRIPTIONS: Mapping[str, str] = {
    "exchanges": described(
        "The exchanges and reporting facilities as the vendor lists them.",
        grain="one row per exchange.",
        lateness=_WEEKLY,
        wrong=_REFERENCE_WRONG,
    ),
    "ticker_types": described(
        "What the codes of security types mean.",
        grain="one row per code.",
        lateness=_WEEKLY,
        wrong=_REFERENCE_WRONG,
    ),
    "tickers": described(
        "All tickers that the vendor lists, delisted ones and OTC included. Only what changed "
        "since the last sync is read.",
        grain="one row per ticker and market.",
        lateness=_WEEKLY,
        wrong=_REFERENCE_WRONG
        + " If an old change was missed, refresh the stream in Airbyte: it is read from the "
        "beginning then.",
    ),
    "stock_split": described(
        "Every split, reverse split and stock dividend, past and announced.",
        grain="one row per event.",
        lateness=_WEEKLY,
        wrong=_REFERENCE_WRONG,
    ),
    "grouped_daily": described(
        "The vendor's daily bar of every ticker, OTC included, unadjusted. The newest day comes "
        "by an Airbyte sync, which takes no date; past days are fetched by REST and merged into "
        "the same table. Both daily tables are loaded together.",
        grain="one row per ticker and New York trading day; partitioned by it.",
        lateness=_DAILY,
        wrong=_DAILY_WRONG,
    ),
    "daily_open_close": described(
        "Official open and close, pre-market and after-hours prices of the subscribed symbols, "
        "unadjusted. Loaded together with `snowflake/raw/grouped_daily`: a sync takes no "
        "selection.",
        grain="one row per subscribed ticker and New York trading day on which it traded; "
        "partitioned by it.",
        lateness=_DAILY,
        wrong=_DAILY_WRONG + " With `A.*` nothing is named, and a day has no rows.",
    ),
}


def _spec(stream: Stream, days: dg.PartitionsDefinition[str] | None = None) -> dg.AssetSpec:
    meanings = META_MEANINGS | {
        name.upper(): schema.get("description", "") for name, schema in stream.properties.items()
    }
    columns = [(name, kind, meanings[name]) for name, kind in table_writer.columns(stream).items()]
    return dg.AssetSpec(
        raw(stream.name),
        # The source's list of tickers matters to this table alone.
        deps=[POLYGON_REST, AIRBYTE_SOURCE]
        if stream.name == DAILY_OPEN_CLOSE.path[-1]
        else [POLYGON_REST],
        partitions_def=days,
        # A day is reported as soon as it is loaded; a second report would build every fact twice.
        skippable=days is not None,
        group_name="batch",
        owners=OWNERS,
        kinds={"airbyte", "snowflake", "table"},
        metadata={
            "dagster/column_schema": table_schema(columns),
            "dagster/table_name": f"RAW.{stream.name.upper()}",
        },
        description=DESCRIPTIONS[stream.name],
    )


class ReferenceSync(dg.Config):
    """Run configuration of a sync of the reference data."""

    accept_smaller: list[str] = Field(
        default=[],
        description="Tables (exchanges, ticker_types, stock_split) that are put in place although "
        "they come back empty or more than a tenth smaller. For this run alone.",
    )


def _not_smaller(stream: Stream) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        "not_smaller_than_before",
        asset=raw(stream.name),
        blocking=True,
        description="The table did not come back empty or more than a tenth smaller. One that "
        f"does is not put in place: the last good rows stay, RAW.{stream.name.upper()}_REJECTED "
        "shows what came. If it is right, materialize with the run configuration "
        f"`accept_smaller: [{stream.name}]`.",
    )


@dg.multi_asset(
    name="sync_reference_tables",
    specs=[_spec(streams()[name]) for name in CONNECTIONS[REFERENCE_CONNECTION]],
    check_specs=[_not_smaller(stream) for stream in WHOLE],
    # A sync takes no selection: it reads every stream of its connection.
    can_subset=False,
    pool=VENDOR_REQUESTS,
)
def sync_reference_tables(
    context: dg.AssetExecutionContext,
    config: ReferenceSync,
    environment: Environment,
    airbyte: Airbyte,
) -> Iterator[dg.MaterializeResult[None]]:
    from polygon_assets.clients import snowflake

    if unknown := set(config.accept_smaller) - {stream.name for stream in WHOLE}:
        known = ", ".join(stream.name for stream in WHOLE)
        raise dg.Failure(
            f"accept_smaller names {', '.join(sorted(unknown))}; only {known} are read whole",
            allow_retries=False,
        )
    settings = environment.settings()
    with closing(snowflake.connect(settings)) as connection:
        last_good.copy_missing(connection, WHOLE)
    with log_while_running(context.log):
        sync = run_sync(airbyte, settings, REFERENCE_CONNECTION)
    with closing(snowflake.connect(settings)) as connection:
        judged = last_good.keep_or_restore(connection, WHOLE, config.accept_smaller)
        contents = reference_tables(connection)
        if empty := [
            name for name, table in contents.items() if not table.rows and name not in MAY_BE_EMPTY
        ]:
            raise dg.Failure(
                f"Airbyte's job {sync.job_id} succeeded, but no row is in "
                f"RAW.{', RAW.'.join(empty).upper()}: check the source in Airbyte and the plan, "
                "then materialize the tables again",
                allow_retries=False,
            )
        newest_change = newest_ticker_change(connection)
    for name in CONNECTIONS[REFERENCE_CONNECTION]:
        yield dg.MaterializeResult(
            asset_key=raw(name),
            metadata=_with_link(sync.metadata(name))
            | _reference_metadata(name, contents[name], newest_change),
            check_results=[_size_check(name, judged[name])] if name in judged else [],
        )


def load_daily_tables(days: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """Both daily tables; one run takes many days, because the vendor serves one day at a time."""

    @dg.multi_asset(
        name="load_daily_tables",
        specs=[_spec(streams()[name], days) for name in TABLES],
        # Either can be launched alone. A sync loads both all the same, and reports both.
        can_subset=True,
        # Not one run for all: between two of them the newest day has its turn.
        backfill_policy=dg.BackfillPolicy.multi_run(DAYS_PER_RUN),
        pool=VENDOR_REQUESTS,
    )
    def load(
        context: dg.AssetExecutionContext, environment: Environment, airbyte: Airbyte
    ) -> Iterator[dg.MaterializeResult[None]]:
        settings, calendar = environment.settings(), environment.calendar()
        requested = [dt.date.fromisoformat(key) for key in context.partition_keys]
        selected = [table for table in TABLES if raw(table) in context.selected_asset_keys]
        daily = DailyLoad(
            settings,
            calendar,
            FIRST_DAY,
            dt.datetime.now(dt.UTC),
            report=_reporter(context, requested, selected),
            last_reported=partial(materialized_at, context.instance, GROUPED_DAILY),
            log=context.log.info,
            clock=environment.clock(),
            selected=selected,
        )
        by_sync = goes_through_airbyte(requested, calendar, daily.market_now)
        by_sync = by_sync and not missing_settings(settings, "airbyte")
        try:
            daily.refuse_unsettled(requested)
            with log_while_running(context.log):
                if by_sync:
                    sync = partial(run_sync, airbyte, settings, DAILY_CONNECTION)
                    arrived = daily.sync(sync, requested[0])
                else:
                    arrived = daily.fetch(requested)
        except DayLoadError as error:
            raise _failure(error) from error
        # A result stands for every day of the run.
        if arrived and _has_further_steps(context):
            yield from (dg.MaterializeResult(asset_key=raw(table)) for table in selected)

    return load


def _reporter(
    context: dg.AssetExecutionContext, requested: Collection[dt.date], selected: Collection[str]
) -> Callable[[dt.date, MetadataByTable], None]:
    """Records each loaded day in Dagster at once, and ends the run when its Dagster was stopped."""
    ancestors = dagster_ancestors()

    def report(day: dt.date, metadata_by_table: MetadataByTable) -> None:
        for table, values in metadata_by_table.items():
            partition, metadata = day.isoformat(), _with_link(values)
            context.log_event(
                dg.AssetMaterialization(raw(table), partition=partition, metadata=metadata)
            )
            if day in requested and table in selected:
                # For Dagster's own record of the result, if there is one.
                context.add_asset_metadata(metadata, asset_key=raw(table), partition_key=partition)
        # A run with hours to go would be killed, and would seem to hold its pool.
        if not is_intact(ancestors):
            raise dg.Failure(
                f"{day} is loaded, but the Dagster that started this run was stopped: missing "
                "days are loaded once Dagster runs again",
                allow_retries=False,
            )

    return report


def _with_link(values: Mapping[str, int | float | str]) -> dict[str, Any]:
    """The metadata of a load, with the address of the Airbyte connection as a link."""
    link = values.get("airbyte_connection")
    return {**values, **({"airbyte_connection": dg.MetadataValue.url(str(link))} if link else {})}


def _failure(error: DayLoadError) -> dg.Failure:
    metadata = {"airbyte_connection": dg.MetadataValue.url(error.link)} if error.link else None
    return dg.Failure(str(error), metadata, allow_retries=False)


def _has_further_steps(context: dg.AssetExecutionContext) -> bool:
    """Whether further steps follow in this run.

    They are skipped unless this step has a result, with which Dagster records each day once more.
    """
    return len(context.job_def.nodes) > 1


def _size_check(name: str, judged: Judged) -> dg.AssetCheckResult:
    """The judgement, with what a person can do about it."""
    counts = f"{judged.rows:,} rows arrived"
    if judged.rows_before is not None:
        counts += f", {judged.rows_before:,} were stored"
    if not judged.accepted:
        counts += (
            f". The last good rows stay; RAW.{name.upper()}_REJECTED holds those that arrived"
            if judged.rows_before is not None
            else ", and no earlier sync brought any"
        )
        counts += (
            f". If that is right, materialize snowflake/raw/{name} with the run configuration "
            f"`accept_smaller: [{name}]`"
        )
    return dg.AssetCheckResult(
        passed=judged.accepted,
        asset_key=raw(name),
        check_name="not_smaller_than_before",
        description=counts + (": accepted by a person" if judged.accepted_by_person else ""),
        metadata={
            "rows": judged.rows,
            "rows_in_place": judged.rows_in_place,
            "accepted_by_person": judged.accepted_by_person,
        },
    )


def _reference_metadata(
    name: str, table: TableContents, newest_change: dt.datetime
) -> dict[str, dg.MetadataValue]:
    change = (
        {NEWEST_CHANGE: dg.MetadataValue.text(newest_change.isoformat())}
        if name == TICKERS.path[-1]
        else {}
    )
    flawed = dg.MetadataValue.int(table.flawed_rows)
    return {
        "dagster/row_count": dg.MetadataValue.int(table.rows),
        "rows_without_a_value": flawed,
        **change,
    }
