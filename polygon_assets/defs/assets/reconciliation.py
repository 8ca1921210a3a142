"""snowflake/marts/stream_vs_batch: each closed day as it was streamed against the vendor's bars.

Add what the asset's page or its check shows here; how a day is compared belongs to
`batch.day_comparison`.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from polygon_assets.batch.day_comparison import (
    MART,
    SYMBOLS_EXPLAINED,
    DayComparison,
    NothingToCompareError,
    compare_day,
    store,
)
from polygon_assets.batch.reconciliation import Comparison, Verdict
from polygon_assets.defs.graph import plots
from polygon_assets.defs.graph.automation import FOLLOWS_CLOSED_DAYS_CHECKED, SHORT_OUTAGES
from polygon_assets.defs.graph.descriptions import OWNERS, as_table, described, table_schema
from polygon_assets.defs.graph.keys import FACT_DAILY_TRADING, STOCK_AGGREGATES, STREAM_VS_BATCH
from polygon_assets.defs.graph.pools import mart_pool
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import log_while_running

SHOWN_SYMBOLS, SHOWN_DAYS = 50, 30
VERDICT_COLORS = {
    Verdict.MATCH: plots.GOOD,
    Verdict.DRIFT: plots.FAIR,
    Verdict.MISSING: plots.BAD,
    Verdict.SURPLUS: plots.NEUTRAL,
}
TOLERABLE_SHARE = 0.05
"""Up to this share of the symbols differences are a warning: the vendor corrects some bars after
the close, and some of those later."""
STREAM_MATCHES_BATCH = dg.AssetCheckSpec(
    "stream_matches_batch",
    asset=STREAM_VS_BATCH,
    description="Every subscribed symbol has the vendor's open, high, low, close and volume, "
    f"within PRICE_TOLERANCE and VOLUME_TOLERANCE. A warning up to {TOLERABLE_SHARE:.0%} of the "
    "symbols, an error beyond that or when a symbol is wholly missing.",
)


def stream_vs_batch(days: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The comparison, a trading day at a time."""

    @dg.asset(
        key=STREAM_VS_BATCH,
        deps=[STOCK_AGGREGATES, FACT_DAILY_TRADING],
        partitions_def=days,
        automation_condition=FOLLOWS_CLOSED_DAYS_CHECKED,
        check_specs=[STREAM_MATCHES_BATCH],
        pool=mart_pool(MART.name),
        retry_policy=SHORT_OUTAGES,
        group_name="batch",
        owners=OWNERS,
        kinds={"clickhouse", "snowflake", "table"},
        metadata={
            "dagster/column_schema": table_schema(MART.columns),
            "dagster/table_name": MART.table,
        },
        description=described(
            "The day as it was streamed against the vendor's daily bars, symbol by symbol: open, "
            "high, low and close of regular hours, and the volume of the whole day. Where a symbol "
            "differs, REST gives its minutes, and those whose volume differs are named.",
            grain="one row per symbol that was streamed, or subscribed and traded; partitioned by "
            "New York trading day.",
            lateness="it runs once the day is proved closed and its fact is built, up to seven "
            "days back.",
            wrong="`missing_in_stream`: was the channel confirmed (`polygon/websocket`)? `drift`: "
            "was there a gap in its minutes? `surplus_in_stream`: the vendor has no bar. "
            "Materialize the day again once the cause is removed; it replaces the day's rows. The "
            "vendor's bars count some late prints that no second shows: VOLUME_TOLERANCE allows "
            "for them.",
        ),
    )
    def reconcile_day(
        context: dg.AssetExecutionContext, environment: Environment
    ) -> Iterator[dg.MaterializeResult[None]]:
        settings, now = environment.settings(), dt.datetime.now(dt.UTC)
        day = dt.date.fromisoformat(context.partition_key)
        try:
            with log_while_running(context.log):
                calendar, clock = environment.calendar(), environment.clock()
                comparison = compare_day(settings, calendar, day, clock)
                stored = store(settings, comparison, now)
        except NothingToCompareError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        metadata = comparison_metadata(comparison, stored.row_count)
        metadata |= days_metadata(stored.verdicts)
        yield dg.MaterializeResult(metadata=metadata, check_results=[judge(comparison)])

    return reconcile_day


def judge(comparison: DayComparison) -> dg.AssetCheckResult:
    """Whether the stream was complete and right; names the worst symbols and their minutes."""
    symbols, different = comparison.symbols, comparison.different
    is_missing = any(symbol.verdict is Verdict.MISSING for symbol in different)
    is_error = is_missing or not symbols or len(different) > TOLERABLE_SHARE * len(symbols)
    lines = [
        f"* {symbol.symbol}: {symbol.verdict}{_minutes_of(comparison, symbol)}"
        for symbol in different[:SYMBOLS_EXPLAINED]
    ]
    summary = f"{comparison.day}: {len(different)} of {len(symbols)} symbols differ"
    return dg.AssetCheckResult(
        passed=bool(symbols) and not different,
        asset_key=STREAM_VS_BATCH,
        check_name=STREAM_MATCHES_BATCH.name,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description="\n\n".join(filter(None, [summary, "\n".join(lines)])),
        metadata={"different": len(different), "compared": len(symbols)},
    )


def comparison_metadata(comparison: DayComparison, rows: int) -> dict[str, Any]:
    """Counts and drifts as numbers that can be plotted, and the worst symbols as a table."""
    counts = Counter(symbol.verdict for symbol in comparison.symbols)
    volume_drifts = [abs(symbol.volume_drift or 0.0) for symbol in comparison.symbols]
    price_drifts = [symbol.price_drift or 0.0 for symbol in comparison.symbols]
    worst = {"worst": dg.MetadataValue.md(_worst(comparison))} if comparison.different else {}
    return {
        "dagster/partition_row_count": rows,
        **{str(verdict): counts[verdict] for verdict in Verdict},
        "largest_volume_drift": max(volume_drifts, default=0.0),
        "largest_price_drift": max(price_drifts, default=0.0),
        **({"note": comparison.note} if comparison.note else {}),
        **worst,
    }


def days_metadata(rows: Sequence[Mapping[str, Any]]) -> dict[str, dg.MetadataValue]:
    """The newest compared days as a picture."""
    days = sorted({row["trading_day"] for row in rows})[-SHOWN_DAYS:]
    counts = {(row["trading_day"], row["verdict"]): row["symbols"] for row in rows}
    series = {
        str(verdict): values
        for verdict in VERDICT_COLORS
        if any(values := [counts.get((day, verdict), 0) for day in days])
    }
    title = "compared symbols by trading day and verdict"
    colors = [VERDICT_COLORS[Verdict(name)] for name in series]
    return {"days": plots.stacked_bars(title, [f"{day:%m-%d}" for day in days], series, colors)}


def _worst(comparison: DayComparison) -> str:
    header = (
        "symbol",
        "verdict",
        "minutes that differ (New York)",
        "volume drift",
        "price drift",
        "shares streamed",
        "shares in the bar",
    )
    worst = comparison.different[:SHOWN_SYMBOLS]
    return as_table(header, (_worst_line(comparison, symbol) for symbol in worst))


def _worst_line(comparison: DayComparison, symbol: Comparison) -> tuple[str, ...]:
    drifts = (
        "" if drift is None else f"{drift:.6%}"
        for drift in (symbol.volume_drift, symbol.price_drift)
    )
    volumes = (
        f"{bar.volume:,.6f}".rstrip("0").rstrip(".") if bar and bar.volume is not None else ""
        for bar in (symbol.stream, symbol.batch)
    )
    minutes = comparison.minutes.get(symbol.symbol, "")
    return (symbol.symbol, str(symbol.verdict), minutes, *drifts, *volumes)


def _minutes_of(comparison: DayComparison, symbol: Comparison) -> str:
    minutes = comparison.minutes.get(symbol.symbol)
    return f", minutes {minutes}" if minutes else ""
