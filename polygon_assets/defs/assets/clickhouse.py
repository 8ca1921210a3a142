"""The tables and views that people query, as assets: their place in the graph and their meaning.

Add an asset of ClickHouse here; its SQL belongs to `serving`. The sink and ClickHouse's views fill
all of them but the one-minute bars, which a run fills.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from polygon_assets.aggregate_columns import AGGREGATE_COLUMNS
from polygon_assets.defs.graph.automation import FOLLOWS_CLOSED_DAYS
from polygon_assets.defs.graph.descriptions import OWNERS, Column, described, table_schema
from polygon_assets.defs.graph.keys import (
    FILTERED,
    OHLCV_1M,
    STOCK_AGGREGATES,
    STOCK_AS_KNOWN_AT,
    STOCK_DELTA_10S,
    STOCK_FINALITY,
    STOCK_LAST,
    STOCK_RECENT,
    STOCK_VERSIONS,
    STREAM_GAPS,
)
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.serving.minute_bars import FilledBars, fill_bars

SAME_VOLUME = dg.AssetCheckSpec(
    "bars_hold_every_share",
    asset=OHLCV_1M,
    description="The bars' seconds and shares add up to those of the seconds they were made from; "
    "while seconds arrive, to no fewer than before the computation and no more than after it.",
)

SECONDS_COLUMNS: tuple[Column, ...] = tuple(
    (column.name, column.table_type, column.meaning) for column in AGGREGATE_COLUMNS
)
BAR_COLUMNS: tuple[Column, ...] = (
    ("trading_day", "Date", "New York date"),
    ("symbol", "LowCardinality(String)", "ticker"),
    ("minute", "DateTime64(3, 'UTC')", "start of the minute, included"),
    ("open", "Float64", "US dollars, first second of the minute"),
    ("high", "Float64", "US dollars"),
    ("low", "Float64", "US dollars"),
    ("close", "Float64", "US dollars, last second of the minute"),
    ("volume", "Decimal(38, 6)", "shares"),
    ("vwap", "Nullable(Float64)", "US dollars, volume-weighted"),
    ("seconds", "UInt32", "seconds with a trade"),
    ("filled_at", "DateTime64(6, 'UTC')", "when the bar was computed; the newest wins"),
)
DELTA_COLUMNS: tuple[Column, ...] = (
    ("symbol", "LowCardinality(String)", "ticker"),
    ("start_timestamp", "DateTime64(3, 'UTC')", "start of the second"),
    ("close", "Float64", "US dollars"),
    ("volume", "Decimal(18, 6)", "shares"),
    (
        "price_10s_ago",
        "Nullable(Float64)",
        "US dollars: last close at or before 10 s earlier, at most 60 s old",
    ),
    ("delta_price_10s", "Nullable(Float64)", "US dollars"),
    ("percentage_change_10s", "Nullable(Float64)", "percent"),
)
FINALITY_COLUMNS: tuple[Column, ...] = (
    ("symbol", "LowCardinality(String)", "ticker"),
    ("start_timestamp", "DateTime64(3, 'UTC')", "start of the second, included"),
    ("versions", "UInt64", "how often the second was received"),
    ("revisions", "UInt64", "how often its values changed"),
    ("first_received_at", "DateTime64(6, 'UTC')", "when its first version was received"),
    ("last_received_at", "DateTime64(6, 'UTC')", "when its newest version was received"),
    (
        "finality",
        "String",
        "provisional: may still change; verified: compared with REST since; revised, final: no "
        "change is expected, with or without one so far",
    ),
)
RECENT_COLUMNS: tuple[Column, ...] = tuple(
    column
    for column in SECONDS_COLUMNS
    if column[0] in ("symbol", "start_timestamp", "close", "volume", "received_at")
)
LAST_COLUMNS: tuple[Column, ...] = (
    ("symbol", "LowCardinality(String)", "ticker"),
    ("last_timestamp", "DateTime64(3, 'UTC')", "start of its newest second"),
    ("close", "Float64", "last price in that second, US dollars"),
    ("volume", "Decimal(18, 6)", "shares in that second"),
    ("accumulated_volume", "Nullable(Decimal(18, 6))", "shares of the day up to that second"),
    ("last_received_at", "DateTime64(6, 'UTC')", "when its newest second was received"),
)


def stock_aggregates(days: dg.PartitionsDefinition[str]) -> dg.AssetSpec:
    """The table the sink fills; a day is materialized when it is proved complete."""
    return dg.AssetSpec(
        STOCK_AGGREGATES,
        deps=[FILTERED],
        partitions_def=days,
        group_name="serving",
        owners=OWNERS,
        kinds={"clickhouse", "table"},
        metadata={
            "dagster/column_schema": table_schema(SECONDS_COLUMNS),
            "dagster/table_name": "market.stock_aggregates",
        },
        description=described(
            "Every second of every subscribed symbol. Read it with FINAL: corrected seconds "
            "replace earlier versions. A trading day is materialized once it is proved complete: "
            "session over, 15 min of corrections passed, nothing pending, each gap verified or "
            "waived.",
            grain="one row per symbol and second; partitioned by New York trading day.",
            lateness="about 1 s after the filtered topic; a day is proved 15 min after the "
            "extended close.",
            wrong="the sensor `trading_day_closer` names why a day is still open. Rows missing "
            "against the topic: see the check `offsets_account_for_rows` and the log of "
            "`run_sink`, or with SINK_RUNNER=connect `polygon-assets connect status`. Reading a "
            "topic again is harmless: the newest `received_at` wins.",
        ),
    )


@dataclass(frozen=True)
class _View:
    key: dg.AssetKey
    deps: tuple[dg.AssetKey, ...]
    kind: str
    columns: tuple[Column, ...]
    description: str

    def spec(self) -> dg.AssetSpec:
        return dg.AssetSpec(
            self.key,
            deps=self.deps,
            group_name="serving",
            owners=OWNERS,
            kinds={"clickhouse", self.kind},
            metadata={
                "dagster/column_schema": table_schema(self.columns),
                "dagster/table_name": f"market.{self.key.path[-1]}",
            },
            description=self.description,
        )


_VIEWS = (
    _View(
        STOCK_VERSIONS,
        (STOCK_AGGREGATES,),
        "table",
        SECONDS_COLUMNS,
        described(
            "Every version of every second as it was received, filled by a materialized view and "
            "kept for STOCK_VERSIONS_DAYS after the receipt (90 by default, 0 for ever).",
            grain="one row per symbol, second and receipt; read it with FINAL, because a replayed "
            "version stands twice until parts are merged.",
            lateness="none: it is filled by the same insert as `clickhouse/stock_aggregates`.",
            wrong="it holds nothing that `s3/raw_archive` lacks. To fill it again: truncate it and "
            "insert from `clickhouse/stock_aggregates`, which has each second's newest version.",
        ),
    ),
    _View(
        STOCK_AS_KNOWN_AT,
        (STOCK_VERSIONS,),
        "view",
        SECONDS_COLUMNS,
        described(
            "What was known at a moment: of each second the newest version received until the "
            "parameter `as_of`. `polygon-assets query as-known-at` prints it.",
            grain="one row per symbol and second between the parameters `from_ts` and `to_ts`.",
            lateness="none: computed when read.",
            wrong="it is the table's: what expired from `clickhouse/stock_versions` is not known.",
        ),
    ),
    _View(
        STOCK_FINALITY,
        (STOCK_VERSIONS, STREAM_GAPS),
        "view",
        FINALITY_COLUMNS,
        described(
            "How often each second was revised, and whether it may still change: the vendor "
            "corrects a second for 15 minutes, and a gap may have lost a correction. "
            "`polygon-assets query versions` prints it with every version.",
            grain="one row per symbol and second between the parameters `from_ts` and `to_ts`.",
            lateness="none: computed when read, for the market time in the parameter `now_ts`.",
            wrong="provisional for long: a gap is open, see `clickhouse/stream_gaps`.",
        ),
    ),
    _View(
        STOCK_RECENT,
        (STOCK_AGGREGATES,),
        "table",
        RECENT_COLUMNS,
        described(
            "The last six hours in time order, filled by a materialized view: questions about all "
            "symbols' last seconds cost a twentieth here.",
            grain="one row per symbol and second; read it with FINAL.",
            lateness="none: it is filled by the same insert as `clickhouse/stock_aggregates`.",
            wrong="drop and refill it from `clickhouse/stock_aggregates`; it holds nothing of its "
            "own.",
        ),
    ),
    _View(
        STOCK_LAST,
        (STOCK_AGGREGATES,),
        "view",
        LAST_COLUMNS,
        described(
            "The newest second of each symbol, whatever the order of arrival.",
            grain="one row per symbol.",
            lateness="none: `market.stock_newest`, from which it reads, is filled by the same "
            "insert as `clickhouse/stock_aggregates`.",
            wrong="truncate `market.stock_newest` and refill it from "
            "`clickhouse/stock_aggregates`; it holds nothing of its own.",
        ),
    ),
    _View(
        STOCK_DELTA_10S,
        (STOCK_AGGREGATES,),
        "view",
        DELTA_COLUMNS,
        described(
            "Each second's price against the price 10 s before, computed when read because a late "
            "second changes later deltas.",
            grain="one row per symbol and second between the parameters `from_ts` and `to_ts`.",
            lateness="none: computed when read.",
            wrong="it is the table's: NULL where the symbol had no trade between 60 s and 10 s "
            "before.",
        ),
    ),
)
VIEW_SPECS = tuple(view.spec() for view in _VIEWS)


def ohlcv_1m(days: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """One-minute bars, a trading day at a time."""

    @dg.asset(
        key=OHLCV_1M,
        deps=[STOCK_AGGREGATES],
        partitions_def=days,
        automation_condition=FOLLOWS_CLOSED_DAYS,
        check_specs=[SAME_VOLUME],
        group_name="serving",
        owners=OWNERS,
        kinds={"clickhouse", "table"},
        metadata={
            "dagster/column_schema": table_schema(BAR_COLUMNS),
            "dagster/table_name": "market.ohlcv_1m_by_day",
        },
        description=described(
            "One-minute bars from the newest version of each second. Today's are refreshed every "
            "five minutes while the market is open, and a day is computed once more when "
            "`clickhouse/stock_aggregates` proves it complete.",
            grain="one row per symbol and minute in which it traded; partitioned by New York "
            "trading day.",
            lateness="at most five minutes while open (the view `market.ohlcv_1m` is exact at any "
            "moment); final after the day is closed.",
            wrong="materialize the day again: it replaces what is there.",
        ),
    )
    def fill(
        context: dg.AssetExecutionContext, environment: Environment
    ) -> Iterator[dg.MaterializeResult[None]]:
        day = dt.date.fromisoformat(context.partition_key)
        bars = fill_bars(environment.settings(), day, f"dagster run {context.run_id}")
        yield dg.MaterializeResult(
            asset_key=OHLCV_1M, metadata=bars_metadata(bars), check_results=[judge_bars(bars)]
        )

    return fill


def bars_metadata(bars: FilledBars) -> dict[str, int | float]:
    return {
        "dagster/partition_row_count": bars.bars,
        "symbols": bars.symbols,
        "seconds": bars.seconds.count,
        "shares": float(bars.seconds.volume),
    }


def judge_bars(bars: FilledBars) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=bars.hold_every_share,
        asset_key=OHLCV_1M,
        check_name=SAME_VOLUME.name,
        metadata={
            "bar_seconds": bars.seconds.count,
            "source_seconds": bars.after.count,
            "bar_shares": float(bars.seconds.volume),
            "source_shares": float(bars.after.volume),
        },
    )
