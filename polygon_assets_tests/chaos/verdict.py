"""The proof at the end: every gap verified, and the table equal to the exchange's truth.

Add something that must be true after any faults here; the truth itself is computed by the exchange
from its seed.
"""

import datetime as dt
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from polygon_assets.clients import clickhouse
from polygon_assets.gap_filling.decisions import verify_after
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.gap_filling.rest_seconds import VWAP_TOLERANCE
from polygon_assets.inspection import gaps
from polygon_assets.local.exchange.market.columns import Columns
from polygon_assets.local.exchange.market.day import SHARE
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

SETTLE_SECONDS = 20
"""From a second's end until it, or its correction, is in the table: the exchange holds it back for
2 s, and filter and sink take up to some seconds under load."""
POLL_SECONDS = 2.0
ROWS = """
    SELECT symbol, toUnixTimestamp64Milli(start_timestamp), open, high, low, close,
        toString(volume), vwap
    FROM market.stock_aggregates FINAL
    WHERE start_timestamp >= {since:DateTime64(3, 'UTC')}
        AND start_timestamp < {until:DateTime64(3, 'UTC')}
"""
ONLY_BY_REST = """
    SELECT symbol, toUnixTimestamp64Milli(start_timestamp) AS start_ms
    FROM market.stock_versions
    WHERE start_timestamp >= {since:DateTime64(3, 'UTC')}
        AND start_timestamp < {until:DateTime64(3, 'UTC')}
    GROUP BY symbol, start_ms
    HAVING countIf(source != 'rest') = 0
    ORDER BY start_ms, symbol
"""
Key = tuple[str, int]
"""Symbol and start in Unix milliseconds."""
Values = tuple[float, float, float, float, Decimal, float]
"""Open, high, low, close, volume, vwap."""


@dataclass(frozen=True)
class Interval:
    """Market time from which, and before which, the table must equal the truth."""

    since: dt.datetime
    until: dt.datetime


@dataclass
class Comparison:
    """How the table differs from the truth; examples are the first keys of each kind."""

    expected: int = 0
    missing: list[Key] = field(default_factory=list)
    surplus: list[Key] = field(default_factory=list)
    wrong: list[Key] = field(default_factory=list)


def compare(
    settings: Settings, market: Market, symbols: Sequence[str], interval: Interval
) -> Comparison:
    """Compare the newest version of each second in the table with what the exchange sent.

    A second must have its final values, or its first ones if its correction is not due yet.
    """
    with closing(clickhouse.connect(settings)) as client:
        parameters = {"since": interval.since, "until": interval.until}
        rows = client.query(ROWS, parameters=parameters).result_rows
    stored = {
        (str(symbol), int(start)): (*prices, Decimal(volume), vwap)
        for symbol, start, *prices, volume, vwap in rows
    }
    asked_at = time.time()
    result = Comparison()
    for symbol in symbols:
        for start, right in versions(market, symbol, interval, asked_at):
            result.expected += 1
            row = stored.pop((symbol, start), None)
            if row is None:
                result.missing.append((symbol, start))
            elif not any(_is_same(row, version) for version in right):
                result.wrong.append((symbol, start))
    result.surplus.extend(stored)
    return result


def versions(
    market: Market, symbol: str, interval: Interval, asked_at: float
) -> Iterator[tuple[int, list[Values]]]:
    """The start of each second that traded, and the values that are right at `asked_at`."""
    first_ms, end_ms = (
        int(moment.timestamp() * 1000) for moment in (interval.since, interval.until)
    )
    days = {market.calendar.day_of(moment) for moment in (interval.since, interval.until)}
    for day in sorted(days):
        messages = market.messages(symbol, day, Rates())
        if messages is None:
            continue
        starts = messages.final.start_ms
        chosen = np.flatnonzero((starts >= first_ms) & (starts < end_ms))
        due = starts[chosen] / 1000 + messages.delay[chosen] + SETTLE_SECONDS
        pending = messages.late[chosen] & (due > asked_at)
        finals, firsts = (
            _values(columns.rows(chosen)) for columns in (messages.final, messages.first)
        )
        for start, final, first, is_pending in zip(
            starts[chosen].tolist(), finals, firsts, pending.tolist(), strict=True
        ):
            yield start, [final, first] if is_pending else [final]


def _values(columns: Columns) -> list[Values]:
    return [
        (open_, high, low, close, Decimal(volume) / SHARE, vwap)
        for open_, high, low, close, volume, vwap in zip(
            columns.open.tolist(),
            columns.high.tolist(),
            columns.low.tolist(),
            columns.close.tolist(),
            columns.volume.tolist(),
            columns.vwap.tolist(),
            strict=True,
        )
    ]


def _is_same(row: Sequence[object], version: Values) -> bool:
    vwap = row[-1]
    return (
        tuple(row[:-1]) == version[:-1]
        and isinstance(vwap, float)
        and abs(vwap - version[-1]) <= VWAP_TOLERANCE
    )


def unrecorded(settings: Settings, entries: Sequence[GapEntry], interval: Interval) -> list[Key]:
    """The seconds that the stream lost outside every gap: found by REST, and only by chance.

    A fill looks back by the revision window, so it heals losses that no gap records.
    """
    with closing(clickhouse.connect(settings)) as client:
        parameters = {"since": interval.since, "until": interval.until}
        rows = client.query(ONLY_BY_REST, parameters=parameters).result_rows
    recorded = [
        (entry.channels, entry.since.timestamp() * 1000, entry.until.timestamp() * 1000)
        for entry in entries
    ]
    return [
        (symbol, start)
        for symbol, start in rows
        if not any(
            since <= start < until and gap_ledger.concerns(channels, f"A.{symbol}")
            for channels, since, until in recorded
        )
    ]


def open_gaps(settings: Settings, since: dt.datetime) -> list[GapEntry]:
    """The gaps after `since` that are not filled yet."""
    return [
        entry
        for entry in gaps.ledger(settings)
        if entry.until > since and entry.state not in ("filled", *gap_ledger.SETTLED)
    ]


def verify_early(settings: Settings, since: dt.datetime) -> list[GapEntry]:
    """Verify every filled gap after `since` now, and return all gaps after `since`.

    In operation a gap is verified when its last correction can have come, 16 minutes after its
    end. The exchange's REST bars are final at once, so a run of minutes need not wait for that.
    """
    filler = GapFiller(settings, logging.getLogger(__name__).debug)
    with closing(filler), closing(clickhouse.connect(settings)) as client:
        for entry in gaps.ledger(settings):
            if entry.until > since and entry.state == "filled":
                verified = filler.fill(entry, verify_after(entry))
                gap_ledger.store(client, [verified], dt.datetime.now(dt.UTC))
    return [entry for entry in gaps.ledger(settings) if entry.until > since]


def wait_until_filled(settings: Settings, since: dt.datetime, patience_seconds: float) -> None:
    """Wait until no gap after `since` is open.

    Raises AssertionError with those that are, once none was filled for `patience_seconds`: after an
    hour of faults there are dozens.
    """
    fewest, deadline = None, 0.0
    while unfilled := open_gaps(settings, since):
        if fewest is None or len(unfilled) < fewest:
            fewest, deadline = len(unfilled), time.monotonic() + patience_seconds
        shown = [f"{gap.gap_id} {gap.state} {gap.note}" for gap in unfilled]
        assert time.monotonic() < deadline, f"not filled: {shown}"
        time.sleep(POLL_SECONDS)


def newest_final_moment() -> dt.datetime:
    """The newest moment whose seconds are in the table by now."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(seconds=SETTLE_SECONDS)
