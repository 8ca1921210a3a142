"""Fills gaps: fetches their seconds by REST, publishes what differs, and compares key by key.

Add a step of a fill here; what a gap is belongs to `streaming.gap_tracker`, which one is filled to
`decisions`, how fast its seconds are published to `publication`. They go through RAW_TOPIC like
streamed ones, so that all rows take one path. A fill may be cut off and repeated at any moment: it
publishes only what the tables lack.
"""

import datetime as dt
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from polygon_assets.clients import clickhouse, subscription_store
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.clients.polygon_answers import (
    PolygonApiError,
    PolygonNoAnswerError,
    PolygonNoDataError,
    PolygonNotEntitledError,
)
from polygon_assets.gap_filling import GapFillError, decisions
from polygon_assets.gap_filling.publication import Publication
from polygon_assets.gap_filling.rest_seconds import (
    Differences,
    Key,
    StoredSecond,
    differences,
    has_odd_vwap,
    usable,
)
from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import RawAggregate
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WILDCARD, symbol_of

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CHUNK_SYMBOLS, CHUNK_BARS = 100, 200_000
"""Symbols that are fetched, compared and published together, and their bars at most: fewer symbols
of a longer gap, so that it needs no more memory."""
STORED_SECONDS = 120.0
"""Filter and sink store a message within a second or two; after an outage they work off a lag."""
POLL_SECONDS = 0.5
"""Between two queries whether the published rows are stored."""
NICENESS = 10
"""On a shared machine the live stream's programs get the processor before a fill."""
RECENT = dt.timedelta(days=7)
"""Symbols that traded in the week before a gap are asked for first: in a shorter time a holiday
and a quiet day would hide most of the small ones."""
BAR_WIDTH = 20
Fetched = tuple[list[RawAggregate], PolygonApiError | None]
"""A symbol's usable bars, and why others are missing."""


@dataclass
class Rows:
    """Counts of one gap: seconds by REST, with the revision window before it; what it changed."""

    found: int = 0
    added: int = 0
    corrected: int = 0


@dataclass
class Outcome:
    """What one fill has done so far."""

    gaps: Sequence[GapEntry]
    rows: dict[str, Rows] = field(init=False)
    """By gap id."""
    symbols: int = 0
    rest_bars: int = 0
    failures: dict[str, PolygonApiError] = field(default_factory=dict)
    """By symbol, why the vendor gave no bars of it, or which of them are unusable."""

    def __post_init__(self) -> None:
        self.rows = {gap.gap_id: Rows() for gap in self.gaps}
        # A changed second that several gaps fetch counts for the gap that ends first.
        self._by_end = sorted(self.gaps, key=lambda gap: gap.until)
        self._ends = [_ms(gap.until) for gap in self._by_end]

    def take(self, chunk: "Chunk") -> None:
        """Add a chunk. Raises a failure while no symbol has had a usable answer.

        Rather one that another try may cure: the others would make the gap unfillable for good.
        """
        self.symbols += chunk.symbols
        self.rest_bars += len(chunk.starts)
        for gap in self.gaps:
            since, until = _ms(gap.since - REVISION_WINDOW), _ms(gap.until)
            self.rows[gap.gap_id].found += bisect_left(chunk.starts, until) - bisect_left(
                chunk.starts, since
            )
        for bar in chunk.differences.missing:
            self._changed(bar).added += 1
        for bar in chunk.differences.corrected:
            self._changed(bar).corrected += 1
        self.failures |= chunk.failures
        if len(self.failures) == self.symbols and not self.rest_bars:
            raise next(iter((self.unanswered or self.failures).values()))

    def _changed(self, bar: RawAggregate) -> Rows:
        return self.rows[self._by_end[bisect_right(self._ends, bar.start_timestamp)].gap_id]

    @property
    def unanswered(self) -> dict[str, PolygonApiError]:
        """The failures that another try may cure."""
        return {
            symbol: error
            for symbol, error in self.failures.items()
            if isinstance(error, PolygonNoAnswerError)
        }


@dataclass(frozen=True)
class Chunk:
    """The differences of some symbols, and the failures as in `Outcome`."""

    symbols: int
    starts: list[int]
    """Of the bars by REST, Unix milliseconds, sorted."""
    differences: Differences
    failures: dict[str, PolygonApiError]


@dataclass(frozen=True)
class Scope:
    """The channels of a gap that are subscribed, and the symbols to ask for."""

    channels: tuple[str, ...]
    symbols: list[str]


class GapFiller:
    """Fills gaps with the connections of one run; close it at the end."""

    def __init__(self, settings: Settings, log: Callable[[str], None]) -> None:
        self._settings = settings
        self._log = log
        self._per_minute = decisions.requests_per_minute(settings)
        self._rest = PolygonRest(
            settings,
            requests_per_minute=self._per_minute,
            concurrency=settings.gap_fill_concurrency,
        )
        self._clickhouse: Client = clickhouse.connect(settings)
        self._publication = Publication(settings)

    def close(self) -> None:
        self._clickhouse.close()

    def fill(self, entry: GapEntry, market_now: dt.datetime) -> GapEntry:
        """`fill_together` of one gap."""
        [filled] = self.fill_together([entry], market_now)
        return filled

    def fill_together(self, gaps: Sequence[GapEntry], market_now: dt.datetime) -> list[GapEntry]:
        """Fill gaps of the same channels; the new entries: filled, verified, or unfillable.

        Their seconds are fetched once, from the earliest to the latest. One symbol without bars
        holds up no other, nor does one unusable bar. Raises GapFillError, and PolygonApiError when
        the vendor is away, rejects the key or gives no usable answer: a later try may succeed.
        """
        entry = decisions.spanned(gaps)
        if not entry.is_readable:
            return list(gaps)
        scope = self.scope(entry)
        if not scope.symbols:
            note = (
                "none of its channels is subscribed any more: waive_gaps closes the day without it"
            )
            return [replace(gap, state="unfillable", note=note) for gap in gaps]
        market = decisions.Market(calendar_of(self._settings), len(scope.symbols))
        need = decisions.need(entry, market)
        causes = ", ".join(dict.fromkeys(gap.cause for gap in gaps))
        self._log(
            f"{causes} from {entry.since:%Y-%m-%d %H:%M:%S} to {entry.until:%H:%M:%S} UTC: "
            f"{need.symbols:,} symbols, {need.requests:,} requests, "
            f"{decisions.duration(need, self._per_minute)}"
            + (f", for {len(gaps)} gaps together" if len(gaps) > 1 else "")
        )
        outcome, waiting = Outcome(gaps), list[RawAggregate]()
        try:
            with _yielding_the_processor():
                for chunk in self._chunks(entry, scope.symbols):
                    outcome.take(chunk)
                    self._publication.publish(chunk.differences.bars)
                    # Kept only until they are stored: memory stays flat for any set of symbols.
                    waiting = self._not_stored([*waiting, *chunk.differences.bars])
        except (PolygonNotEntitledError, PolygonNoDataError) as error:
            return [replace(gap, state="unfillable", note=str(error)) for gap in gaps]
        self._wait_until_stored(waiting)
        if unanswered := outcome.unanswered:
            raise GapFillError(_described(unanswered))
        return [_filled(replace(gap, channels=scope.channels), outcome, market_now) for gap in gaps]

    def scope(self, entry: GapEntry) -> Scope:
        """What a gap concerns of what is subscribed now, the symbols that trade most first.

        A channel that is no longer subscribed is left out: the filter would drop its rows.
        """
        accepted = subscription_store.connect(self._settings).accepted()
        if accepted is None:
            raise GapFillError("no subscription set is in force: materialize s3/subscriptions")
        active = self._active_symbols(entry)
        channels = set(entry.channels or accepted.channels)
        if WILDCARD in channels:
            channels |= set(accepted.channels)
        if WILDCARD not in accepted.channels:
            channels &= set(accepted.channels)
        if WILDCARD in channels:
            return Scope((WILDCARD,), _ranked(self._rest.active_tickers() | set(active), active))
        symbols = set(map(symbol_of, channels))
        return Scope(tuple(sorted(channels)), _ranked(symbols, active))

    def _active_symbols(self, entry: GapEntry) -> list[str]:
        parameters = {"since": entry.since - RECENT, "until": entry.until}
        rows = self._clickhouse.query(load("active_symbols"), parameters=parameters).result_rows
        return [symbol for (symbol,) in rows]

    def _chunks(self, entry: GapEntry, symbols: Sequence[str]) -> Iterator[Chunk]:
        """The differences of each chunk of symbols, with a progress bar in the log.

        While one is compared and published, the next one is already requested.
        """
        since, until = entry.since - REVISION_WINDOW, entry.until
        size = chunk_size(until - since)
        chunks = [symbols[start : start + size] for start in range(0, len(symbols), size)]
        done = 0
        with ThreadPoolExecutor(self._settings.gap_fill_concurrency) as threads:

            def request(chunk: Sequence[str]) -> list[Future[Fetched]]:
                return [threads.submit(self._try, symbol, since, until) for symbol in chunk]

            try:
                requested = request(chunks[0])
                for chunk, following in zip_longest(chunks, chunks[1:], fillvalue=()):
                    fetched = [future.result() for future in requested]
                    requested = request(following)
                    yield self._compared(chunk, fetched, since, until)
                    done += len(chunk)
                    self._log(progress(done, len(symbols)))
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _compared(
        self,
        symbols: Sequence[str],
        fetched: Sequence[Fetched],
        since: dt.datetime,
        until: dt.datetime,
    ) -> Chunk:
        bars = [bar for of_symbol, _ in fetched for bar in of_symbol]
        failures = {
            symbol: error for symbol, (_, error) in zip(symbols, fetched, strict=True) if error
        }
        starts = sorted(bar.start_timestamp for bar in bars)
        compared = differences(bars, self._stored(symbols, since, until))
        return Chunk(len(symbols), starts, compared, failures)

    def _try(self, symbol: str, since: dt.datetime, until: dt.datetime) -> Fetched:
        """A symbol's usable bars, and why others are missing; other errors are raised."""
        try:
            return self._fetch(symbol, since, until)
        except (PolygonNoDataError, PolygonNotEntitledError, PolygonNoAnswerError) as error:
            return [], error

    def _fetch(self, symbol: str, since: dt.datetime, until: dt.datetime) -> Fetched:
        requested_us, since_ms, until_ms = time.time_ns() // 1000, _ms(since), _ms(until)
        bars = self._rest.second_bars(symbol, since_ms, until_ms)
        if odd := sum(has_odd_vwap(bar) for bar in bars):
            self._log(f"{symbol}: {odd:,} average prices are no prices, and null in the tables")
        return usable(symbol, bars, since_ms, until_ms, requested_us)

    def _stored(
        self, symbols: Sequence[str], since: dt.datetime, until: dt.datetime
    ) -> dict[Key, StoredSecond]:
        parameters = {"symbols": list(symbols), "since": since, "until": until}
        rows = self._clickhouse.query(load("seconds_of_symbols"), parameters=parameters).result_rows
        return {(symbol, start): StoredSecond(*values) for symbol, start, *values in rows}

    def _wait_until_stored(self, bars: Sequence[RawAggregate]) -> None:
        """Return when each second is stored in this version or a newer one."""
        deadline = time.monotonic() + STORED_SECONDS
        while left := self._not_stored(bars):
            if time.monotonic() > deadline:
                first = left[0]
                raise GapFillError(
                    f"{len(left):,} published seconds are not in "
                    f"market.stock_aggregates after {STORED_SECONDS:.0f} s, first {first.symbol} "
                    f"at {first.start_timestamp}: see `polygon-assets status` for filter and sink, "
                    "and polygon_dead_letters"
                )
            bars = left
            time.sleep(POLL_SECONDS)

    def _not_stored(self, bars: Sequence[RawAggregate]) -> list[RawAggregate]:
        if not bars:
            return []
        starts = [bar.start_timestamp for bar in bars]
        stored = self._stored(
            sorted({bar.symbol for bar in bars}), _moment(min(starts)), _moment(max(starts) + 1)
        )
        return [
            bar
            for bar in bars
            if (row := stored.get((bar.symbol, bar.start_timestamp))) is None
            or row.received_us < bar.received_at
        ]


@contextmanager
def _yielding_the_processor() -> Iterator[None]:
    """Give this thread and those it starts NICENESS; on macOS it is the whole process."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(before, NICENESS))
    try:
        yield
    finally:
        # Without privileges it stays: the process is that of a run, which ends after its fills.
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


def _ranked(symbols: Collection[str], active: Sequence[str]) -> list[str]:
    """The symbols, the active ones first, in their order."""
    ranks = {symbol: rank for rank, symbol in enumerate(active)}
    return sorted(symbols, key=lambda symbol: (ranks.get(symbol, len(ranks)), symbol))


def _filled(entry: GapEntry, outcome: Outcome, market_now: dt.datetime) -> GapEntry:
    """The entry after a fill: verified once no correction can come any more."""
    due, rows = decisions.verify_after(entry), outcome.rows[entry.gap_id]
    filled = replace(
        entry,
        state="verified" if market_now >= due else "filled",
        note="",
        rows_found=max(entry.rows_found, rows.found),
        rows_added=entry.rows_added + rows.added,
        rows_corrected=entry.rows_corrected + rows.corrected,
        verify_after=due,
    )
    if outcome.failures:
        note = f"all other symbols are filled; {_described(outcome.failures)}"
        return replace(filled, state="unfillable", note=note)
    return filled


def _described(failures: Mapping[str, PolygonApiError]) -> str:
    """How many symbols failed, and the first one's reason."""
    symbol, error = next(iter(failures.items()))
    kind = "unusable" if isinstance(error, PolygonNoAnswerError) else "no"
    return f"the vendor gave {kind} bars of {len(failures):,} symbol(s), first {symbol}: {error}"


def chunk_size(interval: dt.timedelta) -> int:
    """How many symbols of an interval are fetched together, one bar a second each at most."""
    return max(1, min(CHUNK_SYMBOLS, int(CHUNK_BARS / interval.total_seconds())))


def progress(done: int, total: int) -> str:
    """A line such as `[#####···············] 25 % (26 of 104 symbols)`."""
    filled = BAR_WIDTH * done // total
    bar = "#" * filled + "·" * (BAR_WIDTH - filled)
    return f"[{bar}] {100 * done // total} % ({done:,} of {total:,} symbols)"


def _ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(unix_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
