"""How fast what was missed is repaired: a gap is filled, a day rebuilt, a lag worked off.

Each has a baseline in the same run. The failover of the producer belongs to `failover`.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from bench import data, live
from bench.latency import LatencyPoller, quantile
from bench.measure import sample
from polygon_assets.clients import archive_store, clickhouse, subscription_store
from polygon_assets.clients.archive_store import ObjectName, content_of, digest_of
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.gap_filling.decisions import verify_after
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.inspection.streams import positions
from polygon_assets.local.launcher.stack import running_stack
from polygon_assets.market_calendar import NEW_YORK, REVISION_WINDOW
from polygon_assets.rebuild.day import rebuilt
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets.streaming.clickhouse_writer import TABLE
from polygon_assets.streaming.rows import to_table
from polygon_assets.subscriptions import channel_of
from polygon_assets.topics import FILTERED_TOPIC, SINK_GROUP

COLUMNS = ("repair", "contender", "rows", "seconds", "CPU s", "rows/s", "baseline : ours")
GAP = dt.timedelta(minutes=10)
LIVE_SECONDS = 20.0
ROWS_AT_ONCE = 50_000
PATIENCE_SECONDS = 1800.0
_log = logging.getLogger(__name__).debug


@dataclass(frozen=True)
class Repair:
    """One measured line; CPU is this process's own."""

    repair: str
    contender: str
    rows: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


class _Clock:
    """Measures one piece of work after the other."""

    def __init__(self) -> None:
        self._start = sample()

    def take(self, repair: str, contender: str, rows: int) -> Repair:
        start, self._start = self._start, sample()
        wall, cpu = self._start.monotonic - start.monotonic, self._start.cpu - start.cpu
        return Repair(repair, contender, rows, wall, cpu)


def fill(folder: Path, symbols: int, tickers: int, kafka: str) -> tuple[list[Repair], str]:
    """Fill ten minutes of some symbols beside the live stream of all tickers.

    Also says what that did to the stream's latency.
    """
    with live.running(folder, tickers, kafka) as streams:
        settings = streams.stack.settings()
        poller = LatencyPoller(clickhouse.connect(settings))
        live.watch(poller, live.WARM_UP_SECONDS, record=False)
        live.watch(poller, LIVE_SECONDS)
        before = _p99(poller)
        gap = _gap(settings, symbols)
        # The bare requests first, so that the exchange has drawn the day for both.
        bare, beside_requests = _beside(poller, _request, settings, gap)
        filled, beside_fill = _beside(poller, _fill, settings, gap)
        verified, beside_verification = _beside(poller, _verify, settings, gap)
    return [bare, filled, verified], (
        f"p99 received → queryable of the live stream: {before:.2f} s before the fill, "
        f"{beside_requests:.2f} s beside the bare requests, {beside_fill:.2f} s beside the fill, "
        f"{beside_verification:.2f} s beside the verification"
    )


def _gap(settings: Settings, symbols: int) -> GapEntry:
    """Ten minutes of symbols from the whole alphabet, old enough to be verified."""
    until = dt.datetime.now(dt.UTC).replace(microsecond=0) - 2 * REVISION_WINDOW
    of_all = GapEntry("bench", until - GAP, until, "an outage")
    with closing(GapFiller(settings, _log)) as filler:
        known = sorted(filler.scope(of_all).symbols)
    chosen = known[:: max(1, len(known) // symbols)][:symbols]
    return replace(of_all, channels=tuple(map(channel_of, chosen)))


def _beside(
    poller: LatencyPoller,
    work: Callable[[Settings, GapEntry], Repair],
    settings: Settings,
    gap: GapEntry,
) -> tuple[Repair, float]:
    """Do some work, and the live stream's p99 meanwhile.

    The work has a process of its own, as in a run of Dagster's: in this one the poller would wait
    for the interpreter's lock and report that as latency.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        working = process.submit(work, settings, gap)
        while not working.done():
            live.watch(poller, 1.0)
    return working.result(), _p99(poller)


def _p99(poller: LatencyPoller) -> float:
    latency = quantile(poller.after_received, 0.99)
    poller.after_received.clear()
    return latency


def _request(settings: Settings, gap: GapEntry) -> Repair:
    """The requests of a fill, and nothing else."""
    with closing(GapFiller(settings, _log)) as filler:
        symbols = filler.scope(gap).symbols
    rest, clock = PolygonRest(settings), _Clock()
    since_ms, until_ms = (
        round(moment.timestamp() * 1000) for moment in (gap.since - REVISION_WINDOW, gap.until)
    )
    with ThreadPoolExecutor(settings.gap_fill_concurrency) as threads:
        bars = threads.map(lambda name: rest.second_bars(name, since_ms, until_ms), symbols)
        return clock.take("gap of 10 minutes", "requests alone", sum(map(len, bars)))


def _fill(settings: Settings, gap: GapEntry) -> Repair:
    with closing(GapFiller(settings, _log)) as filler:
        clock = _Clock()
        filled = filler.fill(gap, dt.datetime.now(dt.UTC))
        return clock.take("gap of 10 minutes", "ours: compared and stored", filled.rows_found)


def _verify(settings: Settings, gap: GapEntry) -> Repair:
    """What follows when no correction can come any more; the exchange's bars are final at once."""
    with closing(GapFiller(settings, _log)) as filler:
        clock = _Clock()
        verified = filler.fill(gap, verify_after(gap))
        if verified.state != "verified" or verified.rows_added or verified.rows_corrected:
            raise AssertionError(f"the filled gap still differed: {verified}")
        return clock.take("gap of 10 minutes", "ours: verified key by key", verified.rows_found)


def rebuild(folder: Path, events: int) -> list[Repair]:
    """Rebuild a day of `events` from the archive, and compare it with the stored one."""
    data.draw(folder, events)
    raw, filtered = (
        [value for _, value in data.messages(folder, kind, events)] for kind in ("raw", "filtered")
    )
    with (
        running_stack(folder / "stack", only=("clickhouse", "s3"), fixed_ports=False) as stack,
        closing(clickhouse.connect(stack.settings())) as client,
    ):
        settings = stack.settings()
        live.accept_everything(settings)
        day = _archive(settings, raw)
        clock = _Clock()
        for rows in _chunks(filtered):
            client.insert_arrow(TABLE, to_table(rows))
        bare = clock.take("a day", "convert and insert alone", events)
        history = subscription_store.connect(settings).history()
        with rebuilt(client, archive_store.connect(settings), day, history) as rebuilt_day:
            comparison = rebuilt_day.compare()
        ours = clock.take("a day", "ours: read, validated, inserted, compared", events)
        if not comparison.is_equal:
            raise AssertionError(f"the rebuilt day differs: {comparison.rows}")
        return [bare, ours]


def _archive(settings: Settings, raw: list[bytes]) -> dt.date:
    """Write the events as the archiver would, one object for every chunk; returns their day."""
    store = archive_store.connect(settings)
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=data.AGE_SECONDS)
    hour, last = moment.replace(minute=0, second=0, microsecond=0), -1
    for lines in _chunks(raw):
        first, last = last + 1, last + len(lines)
        content = content_of(lines)
        store.put(ObjectName(hour, 0, moment, first, last, digest_of(content)), content)
    return moment.astimezone(NEW_YORK).date()


def _chunks(values: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(values), ROWS_AT_ONCE):
        yield values[start : start + ROWS_AT_ONCE]


def catch_up(folder: Path, outage_seconds: float, kafka: str) -> list[Repair]:
    """Stop the sink while the full market streams, start it again, and wait for lag 0."""
    with live.running(folder, kafka=kafka) as streams:
        settings = streams.stack.settings()
        time.sleep(live.WARM_UP_SECONDS)
        streams.end("sink")
        began = _newest(settings)
        time.sleep(outage_seconds)
        missed = _newest(settings) - began
        usual = Repair("outage of the sink", "the live rate", missed, outage_seconds, 0.0)
        clock = _Clock()
        streams.start("sink")
        _wait_for_lag(settings, at_most=round(usual.rate))
        stored = _newest(settings) - began
        return [usual, clock.take("outage of the sink", "ours: until lag 0", stored)]


def _newest(settings: Settings) -> int:
    return sum(positions(settings, SINK_GROUP, FILTERED_TOPIC).ends.values())


def _wait_for_lag(settings: Settings, at_most: int) -> None:
    """Wait until not more than the messages of a second wait: those are on their way."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while positions(settings, SINK_GROUP, FILTERED_TOPIC).lag > at_most:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the lag is above {at_most:,} after {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.5)


def lines(repairs: Iterable[Repair]) -> list[tuple[str, ...]]:
    """Rows of COLUMNS; the first line of each repair is its baseline."""
    baselines: dict[str, Repair] = {}
    rows: list[tuple[str, ...]] = []
    for line in repairs:
        baseline = baselines.setdefault(line.repair, line)
        ratio = "" if line is baseline else f"{line.rate / baseline.rate:.2f} : 1"
        numbers = (f"{line.rows:,}", f"{line.seconds:.1f}", f"{line.cpu_seconds:.1f}")
        rows.append((line.repair, line.contender, *numbers, f"{line.rate:,.0f}", ratio))
    return rows
