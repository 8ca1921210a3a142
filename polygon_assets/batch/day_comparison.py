"""Compares one streamed trading day with the vendor's daily bars, and stores the result.

Add what reads the two sides or writes the result here; the rules of the comparison belong to
`reconciliation`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isfinite
from typing import Any

from polygon_assets.batch.marts import MARTS, queries, replace_day
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
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import AcceptedSet

MART = MARTS["stream_vs_batch"]
SYMBOLS_EXPLAINED = 20
"""Symbols whose minutes are requested, one request each: 4 minutes at 5 requests a minute."""


class NothingToCompareError(PolygonAssetsError):
    """ClickHouse or Snowflake has no row of the day; the message names the table and the cure."""


@dataclass(frozen=True)
class DayComparison:
    """All symbols of a day, and the differing minutes of the worst symbols."""

    day: dt.date
    symbols: Sequence[Comparison]
    minutes: Mapping[str, str]
    """By symbol, as text; empty where no minute's volume differs."""
    note: str = ""
    """Limits of the comparison, such as symbols or minutes that were left out."""

    @property
    def different(self) -> list[Comparison]:
        """The symbols that do not match, the worst first."""
        different = [symbol for symbol in self.symbols if symbol.verdict is not Verdict.MATCH]
        return sorted(different, key=lambda symbol: (-symbol.severity, symbol.symbol))


@dataclass(frozen=True)
class StoredComparison:
    """The table after a day was stored."""

    row_count: int
    """Of the day."""
    verdicts: Sequence[Mapping[str, Any]]
    """Of every compared day, oldest first: trading_day, verdict, symbols."""


def compare_day(
    settings: Settings, calendar: MarketCalendar, day: dt.date, clock: MarketClock = WALL_CLOCK
) -> DayComparison:
    """Compare a day; if the vendor's REST API fails, only the minutes stay unknown.

    Raises NothingToCompareError, because an empty comparison would look like a perfect one, and the
    errors of ClickHouse, Snowflake and the subscription store.
    """
    from polygon_assets.clients import snowflake

    session = calendar.session(day)
    streamed = _streamed_bars(settings, session) if session else []
    if session is None or not streamed:
        raise _nothing_of(day, "clickhouse/stock_aggregates")
    with closing(snowflake.connect(settings)) as connection:
        bars = day_bars(connection, day)
    if not bars:
        raise _nothing_of(day, "snowflake/marts/fact_daily_trading")
    subscribed, note = _subscribed(settings, session, streamed, clock)
    tolerance = Tolerance(settings.volume_tolerance, settings.price_tolerance)
    comparison = DayComparison(day, compare(streamed, bars, subscribed, tolerance), {}, note)
    to_explain = [symbol.symbol for symbol in comparison.different if symbol.batch]
    minutes, unknown = _minutes(settings, day, to_explain[:SYMBOLS_EXPLAINED])
    return replace(comparison, minutes=minutes, note="; ".join(filter(None, [note, unknown])))


def store(settings: Settings, comparison: DayComparison, now: dt.datetime) -> StoredComparison:
    """Replace the day's rows in MARTS.STREAM_VS_BATCH."""
    from polygon_assets.clients import snowflake

    rows = [_row(comparison, symbol, now) for symbol in comparison.symbols]
    with closing(snowflake.connect(settings)) as connection:
        count = replace_day(connection, MART, comparison.day, rows)
        return StoredComparison(count, queries.answer(connection, "compared_days").to_pylist())


def _nothing_of(day: dt.date, table: str) -> NothingToCompareError:
    return NothingToCompareError(
        f"nothing to compare: {table} has no row of {day}; load the day there, then materialize "
        "snowflake/marts/stream_vs_batch"
    )


def _streamed_bars(settings: Settings, session: Session) -> list[DayBar]:
    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.queries import load

    parameters = {
        "day": session.day,
        "open": session.regular_open,
        "close": session.regular_close,
    }
    with closing(clickhouse.connect(settings)) as client:
        rows = client.query(load("day_by_symbol"), parameters=parameters).named_results()
        return [
            DayBar(row["symbol"], row["open"], row["high"], row["low"], row["close"], row["volume"])
            for row in rows
        ]


def _subscribed(
    settings: Settings, session: Session, streamed: Sequence[DayBar], clock: MarketClock
) -> tuple[Collection[str] | None, str]:
    """The symbols that must be in the stream (None: all), and a note if they are uncertain."""
    from polygon_assets.clients import subscription_store

    accepted: AcceptedSet | None = subscription_store.connect(settings).accepted()
    only_streamed = {bar.symbol for bar in streamed}
    if accepted is None:
        return only_streamed, (
            "no subscription set is in force: only streamed symbols are compared"
        )
    if clock.market(dt.datetime.fromisoformat(accepted.accepted_at)) > session.extended_open:
        return only_streamed, (
            "the subscription set in force was accepted after the day began "
            f"({accepted.accepted_at}): only streamed symbols are compared"
        )
    return accepted.symbols, ""


def _minutes(
    settings: Settings, day: dt.date, symbols: Sequence[str]
) -> tuple[dict[str, str], str]:
    """The minutes with different volume by symbol; and why further symbols' minutes are unknown."""
    from polygon_assets.clients.polygon import PolygonRest
    from polygon_assets.clients.polygon_answers import PolygonApiError

    if not symbols:
        return {}, ""
    streamed, rest = _streamed_volumes(settings, day, symbols), PolygonRest(settings)
    texts: dict[str, str] = {}
    for symbol in symbols:
        try:
            volumes = minute_volumes(rest.minute_bars(symbol, day), day)
        except (PolygonApiError, ValueError) as error:
            return texts, f"the minutes of {symbol} and of later symbols are unknown: {error}"
        texts[symbol] = spans(different_minutes(streamed.get(symbol, {}), volumes))
    return texts, ""


def _streamed_volumes(
    settings: Settings, day: dt.date, symbols: Sequence[str]
) -> Mapping[str, dict[dt.datetime, Decimal]]:
    """Shares by symbol and minute (UTC), from ClickHouse."""
    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.queries import load

    parameters = {"symbols": list(symbols), "day": day}
    volumes: dict[str, dict[dt.datetime, Decimal]] = defaultdict(dict)
    with closing(clickhouse.connect(settings)) as client:
        query = load("minutes_of_symbols")
        result = client.query(query, parameters=parameters, tz_mode="aware")
    for symbol, minute, volume in result.result_rows:
        volumes[symbol][minute.astimezone(dt.UTC)] = volume
    return volumes


def _row(comparison: DayComparison, symbol: Comparison, now: dt.datetime) -> dict[str, Any]:
    return {
        "trading_day": comparison.day,
        "symbol": symbol.symbol,
        "verdict": str(symbol.verdict),
        **_prices("stream", symbol.stream),
        **_prices("batch", symbol.batch),
        "volume_drift": symbol.volume_drift,
        "price_drift": symbol.price_drift,
        "different_minutes": comparison.minutes.get(symbol.symbol) or None,
        "compared_at": now,
    }


def _prices(side: str, bar: DayBar | None) -> dict[str, Any]:
    values = {name: getattr(bar, name, None) for name in ("open", "high", "low", "close", "volume")}
    return {
        f"{side}_{name}": value if value is not None and isfinite(value) else None
        for name, value in values.items()
    }
