"""snowflake/marts/*: the tables built from the raw ones, by one SQL file each.

Add a mart's description here; its SQL and columns belong to `batch.marts`. Dependencies and column
lineage are read from that SQL, so that the graph and the SQL cannot differ.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import dagster as dg

from polygon_assets.batch.marts import (
    MARTS,
    Mart,
    build,
    column_lineage,
    sample,
    split_decisions,
    upstreams,
)
from polygon_assets.defs.batch.mart_checks import Built, checks_of
from polygon_assets.defs.graph.automation import (
    FOLLOWS_EVERY_DAY,
    FOLLOWS_TABLES,
    SHORT_OUTAGES,
    follows_any_day,
)
from polygon_assets.defs.graph.descriptions import (
    OWNERS,
    Column,
    as_table,
    described,
    table_schema,
)
from polygon_assets.defs.graph.keys import mart as mart_key
from polygon_assets.defs.graph.pools import mart_pool
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import log_while_running

_FOLLOWS_REFERENCE = "a minute after the reference data is synced."
_REBUILD = (
    "materialize it again: it is rebuilt from its sources. If it is wrong again, they are: check "
    "them, and the check that failed."
)
DESCRIPTIONS: Mapping[str, str] = {
    "dim_exchange": described(
        "Exchanges and reporting facilities.",
        grain="one row per exchange.",
        lateness=_FOLLOWS_REFERENCE,
        wrong=_REBUILD,
    ),
    "dim_ticker": described(
        "Every ticker that is or was traded, with its type and exchange in words.",
        grain="one row per ticker; where it stands in two markets, or another security had the "
        "symbol before, the active and then the newest entry.",
        lateness=_FOLLOWS_REFERENCE,
        wrong=_REBUILD,
    ),
    "dim_stock_split": described(
        "Splits, reverse splits and stock dividends, executed and announced, with what is made of "
        "each entry (`status`).",
        grain="one row per entry of the vendor, and one per decision of a person.",
        lateness=_FOLLOWS_REFERENCE,
        wrong=_REBUILD,
    ),
    "fact_daily_trading": described(
        "The vendor's daily bar of every ticker that traded, unadjusted, with the official prices "
        "of subscribed symbols beside it.",
        grain="one row per ticker and New York trading day; partitioned by it.",
        lateness="a minute after the day is loaded; a day that is loaded again is built again.",
        wrong="materialize the day again: it replaces the day's rows. If bars are wrong, "
        "materialize the day of `snowflake/raw/grouped_daily` first. The sensor `missing_days` "
        "asks for days that were loaded but not built.",
    ),
    "daily_prices_adjusted": described(
        "Every daily bar in terms of the newest trading day's shares, so that prices can be "
        "compared across splits.",
        grain="one row per ticker and trading day; all days are made anew, because one new split "
        "changes every earlier day.",
        lateness="a minute or two after a day is built, once for all days that are built together.",
        wrong=_REBUILD
        + " A split that the vendor announced late comes with the next sync of the reference "
        "data. Where its entries contradict each other, the check `splits_are_decided` names "
        "them: the ticker keeps its last good prices until a line in `split_decisions.csv` or "
        "`SPLIT_DECISIONS` decides; then materialize `snowflake/marts/dim_stock_split`.",
    ),
    "report_tickers": described(
        "What people ask of a listed ticker: who it is, last and previous close, volume, range of "
        "a year, last split.",
        grain="one row per active ticker.",
        lateness="a minute or two after the adjusted prices.",
        wrong=_REBUILD,
    ),
}


def marts(days: dg.PartitionsDefinition[str]) -> list[dg.AssetsDefinition]:
    """The marts that are built by SQL."""
    return [_asset(mart, days) for mart in MARTS.values() if mart.sql]


def _asset(mart: Mart, days: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    key, checks = mart_key(mart.name), checks_of(mart)

    @dg.multi_asset(
        name=f"build_{mart.name}",
        specs=[_spec(mart, days)],
        check_specs=[check.spec(key) for check in checks],
        backfill_policy=dg.BackfillPolicy.single_run() if mart.by_day else None,
        pool=mart_pool(mart.name),
        retry_policy=SHORT_OUTAGES,
    )
    def build_mart(
        context: dg.AssetExecutionContext, environment: Environment
    ) -> Iterator[dg.MaterializeResult[None]]:
        from polygon_assets.clients import snowflake

        settings = environment.settings()
        decisions = split_decisions.read(settings)
        days_to_build = (
            map(dt.date.fromisoformat, context.partition_keys) if mart.by_day else [None]
        )
        with log_while_running(context.log), closing(snowflake.connect(settings)) as connection:
            built = [
                Built(connection, mart, day, build(connection, mart, day, decisions))
                for day in days_to_build
            ]
            results = [check.result(key, built) for check in checks]
            rows_shown = sample(connection, mart, built[-1].day)
        for part in built:
            if part.day:
                context.add_asset_metadata(
                    {"dagster/partition_row_count": part.rows}, partition_key=part.day.isoformat()
                )
        rows = {} if mart.by_day else {"dagster/row_count": built[0].rows}
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "dagster/column_lineage": _lineage(mart),
                "sample": dg.MetadataValue.md(_sample(mart, rows_shown)),
                **rows,
            },
            check_results=results,
        )

    return build_mart


def _sample(mart: Mart, rows: Sequence[Sequence[object]]) -> str:
    header = [name for name, _, _ in mart.columns]
    return as_table(header, (["" if cell is None else cell for cell in row] for row in rows))


def _spec(mart: Mart, days: dg.PartitionsDefinition[str]) -> dg.AssetSpec:
    sources = [_source_key(*source) for source in upstreams(mart)]
    return dg.AssetSpec(
        mart_key(mart.name),
        deps=sources,
        partitions_def=days if mart.by_day else None,
        automation_condition=_condition(mart, sources),
        group_name="batch",
        owners=OWNERS,
        kinds={"snowflake", "sql", "table"},
        metadata={
            "dagster/column_schema": table_schema(_columns(mart)),
            "dagster/table_name": mart.table,
        },
        description=DESCRIPTIONS[mart.name],
    )


def _condition(mart: Mart, sources: Sequence[dg.AssetKey]) -> dg.AutomationCondition[Any]:
    if mart.by_day:
        return FOLLOWS_EVERY_DAY
    by_day = [
        source
        for source in sources
        if source in {mart_key(other.name) for other in MARTS.values() if other.by_day}
    ]
    return follows_any_day(*by_day) if by_day else FOLLOWS_TABLES


def _columns(mart: Mart) -> Iterator[Column]:
    """The columns with their sources: the open-source UI does not show Dagster's column lineage."""
    lineage = column_lineage(mart)
    for name, kind, meaning in mart.columns:
        sources = ", ".join(f"{table}.{column}" for table, column in lineage[name])
        yield name, kind, f"{meaning} Made of {sources}." if sources else meaning


def _lineage(mart: Mart) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(_source_key(*table.split(".")), name) for table, name in sources
            ]
            for column, sources in column_lineage(mart).items()
        }
    )


def _source_key(schema: str, table: str) -> dg.AssetKey:
    return dg.AssetKey(["snowflake", schema.lower(), table.lower()])
