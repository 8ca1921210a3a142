"""snowflake/marts/stream_vs_batch: each closed day as it was streamed against the vendor's daily bars. `batch.reconcile` has the rules."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dagster as dg

from polygon_assets.batch.marts import MARTS, replace_day
from polygon_assets.batch.reconciliation import (
    Comparison,
    DayBar,
    Tolerance,
    Verdict,
    compare,
    day_bars,
    different_minutes,
    minute_volumes,
    spans,
)
from polygon_assets.defs.graph.automation import FOLLOWS_CLOSED_DAYS_CHECKED, SHORT_OUTAGES
from polygon_assets.defs.graph.descriptions import OWNERS, as_table, described, table_schema
from polygon_assets.defs.graph.keys import FACT_DAILY_TRADING, STOCK_AGGREGATES, STREAM_VS_BATCH
from polygon_assets.defs.graph.pools import log_while_running, mart_pool
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import AcceptedSet

MART = MARTS[STREAM_VS_BATCH.path[-1]]
LOOKED_INTO = 20
"""Symbols whose minutes are asked for, one request each: at 5 requests a minute that takes 4 minutes."""
SHOWN_SYMBOLS = 50
TOLERABLE_SHARE = 0.05
"""Up to this share of the symbols differences are a warning: the vendor corrects some bars after the close, and corrects some later."""
STREAM_MATCHES_BATCH = dg.AssetCheckSpec(
    "stream_matches_batch",
    asset=STREAM_VS_BATCH,
    description="Every subscribed symbol has the vendor's open, high, low, close and volume, within PRICE_TOLERANCE and VOLUME_TOLERANCE. "
    f"A warning up to {TOLERABLE_SHARE:.0%} of the symbols, an error beyond that or when a symbol is wholly missing.",
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
            "The day as it was streamed against the vendor's daily bars, symbol by symbol: open, high, low and close of "
            "regular hours, and the volume of the whole day. Where a "
            "symbol differs, its minutes are asked for by REST, and those whose volume differs are named.",
            grain="one row per symbol that was streamed, or subscribed and traded; partitioned by New York trading day.",
            lateness="it runs by itself once the day is proved closed and its fact is built, up to seven days back.",
            wrong="`missing_in_stream`: was the channel confirmed (`polygon/websocket`)? `drift`: was there a gap in its minutes? "
            "`surplus_in_stream`: the vendor has no bar. Materialize the day again once the cause is mended; it replaces the day's rows. "
            "The vendor's bars count some late prints that no second shows: VOLUME_TOLERANCE is for them.",
        ),
    )
    def reconcile_day(
        context: dg.AssetExecutionContext, environment: Environment
    ) -> Iterator[dg.MaterializeResult[None]]:
        settings, calendar, now = (
            environment.settings(),
            environment.calendar(),
            dt.datetime.now(dt.UTC),
        )
        with log_while_running(context.log):
            found = compare_day(
                settings,
                calendar,
                dt.date.fromisoformat(context.partition_key),
                environment.clock(),
            )
            rows = store(settings, found, now)
        yield dg.MaterializeResult(metadata=_metadata(found, rows), check_results=[judge(found)])

    return reconcile_day


@dataclass(frozen=True)
class DayComparison:
    """All symbols of a day, the minutes of those that were looked into, and what a reader should know of the way it was done."""

    day: dt.date
    symbols: Sequence[Comparison]
    minutes: Mapping[str, str]
    """By symbol, as people say them; empty where no minute's volume differs."""
    note: str = ""

    @property
    def different(self) -> list[Comparison]:
        """The worst first."""
        return sorted(
            (one for one in self.symbols if one.verdict is not Verdict.MATCH),
            key=lambda one: (-one.severity, one.symbol),
        )


def compare_day(
    settings: Settings, calendar: MarketCalendar, day: dt.date, clock: MarketClock = WALL_CLOCK
) -> DayComparison:
    """Compare a day. Raises the errors of ClickHouse, Snowflake and the subscription store; without REST only the minutes are unknown.

    Raises dg.Failure when either side has nothing of the day: nothing compared would look like nothing wrong.
    """
    from polygon_assets.clients import snowflake

    session = calendar.session(day)
    streamed = _streamed_bars(settings, session) if session else []
    if not streamed:
        raise _nothing_to_compare(STOCK_AGGREGATES, day)
    with closing(snowflake.connect(settings)) as connection:
        bars = day_bars(connection, day)
    if not bars:
        raise _nothing_to_compare(FACT_DAILY_TRADING, day)
    subscribed, note = _subscribed(settings, calendar, day, streamed, clock)
    symbols = compare(
        streamed, bars, subscribed, Tolerance(settings.volume_tolerance, settings.price_tolerance)
    )
    found = DayComparison(day, symbols, {}, note)
    minutes, fault = _minutes(
        settings, day, [one.symbol for one in found.different if one.batch][:LOOKED_INTO]
    )
    return DayComparison(day, symbols, minutes, "; ".join(filter(None, [note, fault])))


def store(settings: Settings, found: DayComparison, now: dt.datetime) -> int:
    """Replace the day's rows; returns how many there are."""
    from polygon_assets.clients import snowflake

    with closing(snowflake.connect(settings)) as connection:
        return replace_day(
            connection, MART, found.day, [_row(found, one, now) for one in found.symbols]
        )


def judge(found: DayComparison) -> dg.AssetCheckResult:
    """Whether the stream was complete and right; names the worst symbols and their minutes."""
    different = found.different
    missing = any(one.verdict is Verdict.MISSING for one in different)
    bad = missing or not found.symbols or len(different) > TOLERABLE_SHARE * len(found.symbols)
    lines = [
        f"* {one.symbol}: {one.verdict}{_of_minutes(found, one)}" for one in different[:LOOKED_INTO]
    ]
    summary = f"{found.day}: {len(different)} of {len(found.symbols)} symbols differ"
    return dg.AssetCheckResult(
        passed=bool(found.symbols) and not different,
        asset_key=STREAM_VS_BATCH,
        check_name=STREAM_MATCHES_BATCH.name,
        severity=dg.AssetCheckSeverity.ERROR if bad else dg.AssetCheckSeverity.WARN,
        description="\n\n".join(filter(None, [summary, "\n".join(lines)])),
        metadata={"different": len(different), "compared": len(found.symbols)},
    )


def _nothing_to_compare(side: dg.AssetKey, day: dt.date) -> dg.Failure:
    message = f"nothing to compare: {side.to_user_string()} has no row of {day}; load the day there, then materialize it here"
    return dg.Failure(message, allow_retries=False)


def _streamed_bars(settings: Settings, session: Session) -> list[DayBar]:
    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.queries import load

    with closing(clickhouse.connect(settings)) as client:
        asked = {"day": session.day, "open": session.regular_open, "close": session.regular_close}
        rows = client.query(load("day_by_symbol"), parameters=asked).named_results()
        return [
            DayBar(row["symbol"], row["open"], row["high"], row["low"], row["close"], row["volume"])
            for row in rows
        ]


def _subscribed(
    settings: Settings,
    calendar: MarketCalendar,
    day: dt.date,
    streamed: Sequence[DayBar],
    clock: MarketClock,
) -> tuple[Collection[str] | None, str]:
    """The symbols that must be in the stream, None for all, and what is uncertain about them."""
    from polygon_assets.clients import subscription_store

    accepted: AcceptedSet | None = subscription_store.connect(settings).accepted()
    session = calendar.session(day)
    if accepted is None or session is None:
        return {
            bar.symbol for bar in streamed
        }, "no subscription set is in force: only what was streamed is compared"
    if clock.market(dt.datetime.fromisoformat(accepted.accepted_at)) > session.extended_open:
        return {bar.symbol for bar in streamed}, (
            f"the subscription set in force was accepted after the day began ({accepted.accepted_at}): only what was streamed is compared"
        )
    return accepted.symbols, ""


def _minutes(
    settings: Settings, day: dt.date, symbols: Sequence[str]
) -> tuple[dict[str, str], str]:
    """Of each symbol the minutes whose volume differs, and why they are not known if the vendor refuses to say."""
    from polygon_assets.clients.polygon import PolygonApiError, PolygonRest

    if not symbols:
        return {}, ""
    streamed, rest = _streamed_minutes(settings, day, symbols), PolygonRest(settings)
    found: dict[str, str] = {}
    for symbol in symbols:
        try:
            answer = rest.get_aggs(
                symbol, 1, "minute", day, day, adjusted=False, limit=50_000, raw=True
            )
            volumes = minute_volumes(answer.data)
        except (PolygonApiError, ValueError) as error:
            return found, f"the minutes of {symbol} and what follows are unknown: {error}"
        found[symbol] = spans(different_minutes(streamed.get(symbol, {}), volumes))
    return found, ""


def _streamed_minutes(
    settings: Settings, day: dt.date, symbols: Sequence[str]
) -> Mapping[str, dict[dt.datetime, Decimal]]:
    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.queries import load

    minutes: dict[str, dict[dt.datetime, Decimal]] = defaultdict(dict)
    with closing(clickhouse.connect(settings)) as client:
        result = client.query(
            load("minutes_of_symbols"),
            parameters={"symbols": list(symbols), "day": day},
            tz_mode="aware",
        )
    for symbol, minute, volume in result.result_rows:
        minutes[symbol][minute.astimezone(dt.UTC)] = volume
    return minutes


def _row(found: DayComparison, one: Comparison, now: dt.datetime) -> dict[str, Any]:
    return {
        "trading_day": found.day,
        "symbol": one.symbol,
        "verdict": str(one.verdict),
        **_prices("stream", one.stream),
        **_prices("batch", one.batch),
        "volume_drift": one.volume_drift,
        "price_drift": one.price_drift,
        "different_minutes": found.minutes.get(one.symbol) or None,
        "compared_at": now,
    }


def _prices(side: str, bar: DayBar | None) -> dict[str, Any]:
    return {
        f"{side}_{name}": getattr(bar, name, None)
        for name in ("open", "high", "low", "close", "volume")
    }


def _metadata(found: DayComparison, rows: int) -> dict[str, Any]:
    counts = Counter(one.verdict for one in found.symbols)
    drifts = [
        one for one in found.symbols if one.volume_drift is not None and one.price_drift is not None
    ]
    return {
        "dagster/partition_row_count": rows,
        **{str(verdict): counts[verdict] for verdict in Verdict},
        "largest_volume_drift": max((abs(one.volume_drift or 0.0) for one in drifts), default=0.0),
        "largest_price_drift": max((one.price_drift or 0.0 for one in drifts), default=0.0),
        **({"note": found.note} if found.note else {}),
        **({"worst": dg.MetadataValue.md(_worst(found))} if found.different else {}),
    }


def _worst(found: DayComparison) -> str:
    header = (
        "symbol",
        "verdict",
        "minutes that differ (New York)",
        "volume drift",
        "price drift",
        "shares streamed",
        "shares in the bar",
    )
    return as_table(header, (_worst_line(found, one) for one in found.different[:SHOWN_SYMBOLS]))


def _worst_line(found: DayComparison, one: Comparison) -> tuple[str, ...]:
    drifts = (
        "" if drift is None else f"{drift:.6%}" for drift in (one.volume_drift, one.price_drift)
    )
    volumes = (
        f"{bar.volume:,.6f}".rstrip("0").rstrip(".") if bar else ""
        for bar in (one.stream, one.batch)
    )
    return (one.symbol, str(one.verdict), found.minutes.get(one.symbol, ""), *drifts, *volumes)


def _of_minutes(found: DayComparison, one: Comparison) -> str:
    minutes = found.minutes.get(one.symbol)
    return f", minutes {minutes}" if minutes else ""
