"""Doubt without a reported loss: a few symbols are compared with REST; what is missing is a gap.

Add a reason to doubt a symbol here. A vendor may confirm a channel and send nothing on it, which
no connection, heartbeat or offset shows.
"""

import datetime as dt
import random
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polygon_assets import topics
from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.gap_filling.rest_seconds import usable
from polygon_assets.inspection import gaps, streams
from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry, concerns
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import channel_of

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from polygon_assets.clients.polygon import PolygonRest

SAMPLE = 6
"""Symbols that are compared each time, one request each: half by suspicion, half by chance."""
COMPARED = dt.timedelta(minutes=30)
"""How much of each symbol is compared."""
STREAMED_AFTER = dt.timedelta(minutes=2)
"""Younger seconds may still be on their way through Kafka."""
SILENT_SECONDS = 3
"""Fewer seconds may have late trades only, which come as corrections."""
ACTIVITY = dt.timedelta(hours=2)
"""How often a symbol trades is taken from this long."""
SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Activity:
    """The seconds in which a symbol trades in two hours, and when it was last seen."""

    seconds: int
    newest: dt.datetime


@dataclass(frozen=True)
class Comparison:
    """The symbols that were compared, and the new gaps."""

    symbols: Sequence[str]
    new: Sequence[GapEntry]


def chosen(
    symbols: Collection[str],
    activity: Mapping[str, Activity],
    until: dt.datetime,
    chance: random.Random,
) -> list[str]:
    """The symbols to compare: the most suspicious ones, and others by chance.

    A symbol is suspicious that has been unseen for long, measured by how often it trades.
    """
    suspicious = sorted(
        (symbol for symbol in symbols if symbol in activity),
        key=lambda symbol: (until - activity[symbol].newest) * activity[symbol].seconds,
        reverse=True,
    )[: SAMPLE // 2]
    others = sorted(set(symbols) - set(suspicious))
    return suspicious + chance.sample(others, min(SAMPLE - len(suspicious), len(others)))


def expected(
    lately: Mapping[str, Activity], day_before: Mapping[str, Activity], session_open: dt.datetime
) -> dict[str, Activity]:
    """The activity of the last two hours, and of symbols without any, that of the day before.

    So a channel that has been silent since the open is suspicious too, also one of `A.*`.
    """
    unseen = {
        symbol: Activity(activity.seconds, session_open)
        for symbol, activity in day_before.items()
        if symbol not in lately
    }
    return unseen | dict(lately)


def missing(
    symbol: str,
    rest_starts: Collection[int],
    stored: Collection[int],
    last_seen: dt.datetime,
    until: dt.datetime,
) -> GapEntry | None:
    """The gap of a symbol whose seconds (starts in Unix milliseconds) REST has and we have not.

    Several seconds without any stored one after them: the channel is silent, from the moment at
    which it was last seen (the session's open if it never was) up to `until`. A
    single second may have late trades only, which the vendor sends as a correction: it counts once
    the revision window is over.
    """
    lost = sorted(set(rest_starts) - set(stored))
    unanswered = [start for start in lost if start > max(stored, default=0)]
    if len(unanswered) >= SILENT_SECONDS:
        return _gap(symbol, "silent channel", min(last_seen, _moment(unanswered[0])), until)
    final = [start for start in lost if _moment(start) < until - REVISION_WINDOW]
    if not final:
        return None
    return _gap(symbol, "missing second", _moment(final[0]), _moment(final[-1]) + SECOND)


def _gap(symbol: str, cause: str, since: dt.datetime, until: dt.datetime) -> GapEntry:
    gap_id = f"{gap_ledger.DOUBT}{symbol}-{since.timestamp() * 1000:.0f}"
    return GapEntry(gap_id, since, until, cause, (channel_of(symbol),))


def _moment(unix_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)


def compare(
    settings: Settings,
    clock: MarketClock,
    session_open: dt.datetime,
    now: dt.datetime,
    chance: random.Random,
) -> Comparison:
    """Compare a sample of the last half hour with REST, and store what is missing as gaps.

    `session_open` is market time, `now` wall time. Seconds that still wait in Kafka, and those of
    gaps that the ledger has already, are left out. Raises PolygonApiError, InspectionError,
    SubscriptionStoreError and clickhouse_connect's errors.
    """
    from polygon_assets.clients import clickhouse, subscription_store
    from polygon_assets.clients.polygon import PolygonRest

    calendar = calendar_of(settings)
    until = min([clock.market(now), *_waiting_since(settings, clock)]) - STREAMED_AFTER
    window = Interval(max(until - COMPARED, session_open), until)
    accepted = subscription_store.connect(settings).accepted()
    if accepted is None or window.length <= SECOND:
        return Comparison([], [])
    entries = gaps.unsettled(gaps.ledger(settings))
    rest = PolygonRest(settings)
    with closing(clickhouse.connect(settings)) as client:
        day = calendar.day_of(until)
        lately, day_before = (
            _activity(client, until - dt.timedelta(days=(day - traded).days))
            for traded in (day, calendar.previous_day(day))
        )
        activity = expected(lately, day_before, session_open)
        symbols = chosen(accepted.symbols or activity, activity, until, chance)
        since_ms, until_ms = (round(m.timestamp() * 1000) for m in (window.since, window.until))
        gaps_of_symbols = [
            missing(
                symbol,
                _outside(
                    _known(entries, symbol),
                    _starts(rest, symbol, since_ms, until_ms),
                ),
                _stored_starts(client, symbol, window),
                activity[symbol].newest if symbol in activity else session_open,
                until,
            )
            for symbol in symbols
        ]
        new = gap_ledger.store_new_or_longer(client, filter(None, gaps_of_symbols), now)
    return Comparison(symbols, new)


def _starts(rest: "PolygonRest", symbol: str, since_ms: int, until_ms: int) -> list[int]:
    """The starts of the symbol's seconds by REST, in Unix milliseconds, without unusable bars."""
    bars = rest.second_bars(symbol, since_ms, until_ms)
    events, _ = usable(symbol, bars, since_ms, until_ms, time.time_ns() // 1000)
    return [event.start_timestamp for event in events]


def _activity(client: "Client", until: dt.datetime) -> dict[str, Activity]:
    """By symbol, the activity of the two hours before a moment."""
    parameters = {"since": until - ACTIVITY, "until": until}
    rows = client.query(load("symbol_activity"), parameters=parameters, tz_mode="aware")
    return {symbol: Activity(*values) for symbol, *values in rows.result_rows}


def _waiting_since(settings: Settings, clock: MarketClock) -> list[dt.datetime]:
    """The market times at which the oldest messages were received that wait in Kafka."""
    waiting = [
        streams.pending_since(settings, topics.FILTER_GROUP, topics.RAW_TOPIC),
        streams.pending_since(settings, topics.SINK_GROUP, topics.FILTERED_TOPIC),
    ]
    return [clock.market(since) for since in waiting if since]


def _known(entries: Sequence[GapEntry], symbol: str) -> list[Interval]:
    """The gaps that include the symbol's channel."""
    return [
        Interval(entry.since - SECOND, entry.until)
        for entry in entries
        if concerns(entry.channels, channel_of(symbol))
    ]


def _outside(known: Sequence[Interval], starts: Sequence[int]) -> list[int]:
    return [
        start
        for start in starts
        if not any(interval.since <= _moment(start) < interval.until for interval in known)
    ]


def _stored_starts(client: "Client", symbol: str, window: Interval) -> list[int]:
    parameters = {"symbols": [symbol], "since": window.since, "until": window.until}
    rows = client.query(load("seconds_of_symbols"), parameters=parameters).result_rows
    return [start for _, start, *_ in rows]
