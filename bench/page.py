"""The live page with ten visitors while the whole market is inserted, and its questions by CPU.

Add what a visitor waits for here; what visitors do to the streams belongs to `page_beside_streams`.
ClickHouse, the page, the visitors' Chromium and the inserting process share the machine.
"""

import datetime as dt
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow as pa

from polygon_assets import market
from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.ports import HOST, answers, free_port
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings
from polygon_assets.streaming.rows import DECIMAL, SCHEMA
from scripts import headless_browser

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from playwright.sync_api import Browser, Page

SYMBOLS, ROWS_PER_SECOND = 10_000, 12_000
CHUNK_SECONDS = 200
VISITED = ("", "symbol/{symbol}", "trust", "cost")
"""The views that visitors have open, in turn."""
PROBE, PROBE_SECONDS = "PROBE", 5.0
REPEATS = 5
START_SECONDS, MERGES_SECONDS, QUIET_SECONDS = 120.0, 300.0, 5
TARGET = "150 ms of CPU"
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
ROWS = "perspective-viewer regular-table tbody tr"
CANDLES = """() => globalThis.Bokeh ? Math.max(0, ...Bokeh.documents.flatMap(document =>
  [...document._all_models.values()].map(model => model.data && "mark_at" in model.data
    ? model.data.count.reduce((sum, count) => sum + count, 0) : 0))) : 0"""
"""The seconds that the drawn candles stand for; where several share a pixel, one stands for all."""
DRAWN = f"least => ({CANDLES})() >= least"
STORED_AFTER = 600
"""Seconds: the first symbol's end when the measurement begins."""
PRICES = ("open", "high", "low", "close", "vwap", "aggregate_vwap", "official_open_price")
COLUMNS = ("the live page", "result", "target")
WITHOUT_FINALITY = """
    SELECT intDiv(toUnixTimestamp(start_timestamp), 10) AS start,
        argMin(open, start_timestamp), max(high), min(low), argMax(close, start_timestamp),
        sum(volume)
    FROM market.stock_aggregates FINAL
    WHERE symbol = 'S00001' AND start_timestamp >= {since:DateTime64(3, 'UTC')}
    GROUP BY start
    ORDER BY start
"""
Line = tuple[str, ...]


@dataclass
class Usage:
    """Processes over a while: CPU seconds, and memory (MB) before and after."""

    processes: list[psutil.Process]

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._cpu, self.before = self._now()

    def cpu(self) -> float:
        return self._now()[0]

    def cores(self) -> float:
        return (self._now()[0] - self._cpu) / (time.monotonic() - self._started)

    def memory(self) -> float:
        return self._now()[1]

    def _now(self) -> tuple[float, float]:
        cpu, memory = 0.0, 0.0
        for process in self.processes:
            try:
                times, size = process.cpu_times(), process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            cpu += times.user + times.system
            memory += size / 1e6
        return cpu, memory


def run(folder: Path, seconds: float, visitors: int, million_rows: int) -> Iterator[Line]:
    """Fill the tables, ask each question, then watch the visitors for so many seconds."""
    from playwright.sync_api import sync_playwright

    with running_stack(folder / "stack", only=("clickhouse",), fixed_ports=False) as stack:
        settings = stack.settings().model_copy(update={"market_calendar": "24/7"})
        with closing(clickhouse.connect(settings)) as client:
            _fill(client, million_rows)
            client.command(load("fill_ohlcv_1m_day"), parameters={"day": _today()})
            _wait_for_merges(client)
        yield from _questions(stack, settings, million_rows)
        with (
            serving(stack, folder / "page.log") as (port, process),
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=headless_browser.installed(), args=["--no-sandbox"]
            )
            address = f"http://{HOST}:{port}"
            yield _day(browser, address, "while the market rests", "1 s")
            with _inserting(settings):
                yield from _waits(browser, address)
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                tabs = [context.new_page() for _ in range(visitors)]
                for number, tab in enumerate(tabs):
                    tab.goto(f"{address}/{view(number, 'S00001')}")
                title = f"{visitors} visitors for {seconds:.0f} s at {ROWS_PER_SECOND:,} rows/s"
                yield from _visits(tabs[0], settings, process, seconds, title)
            browser.close()


def view(number: int, symbol: str) -> str:
    """The path of a visitor's view."""
    return VISITED[number % len(VISITED)].format(symbol=symbol)


def _fill(client: "Client", million_rows: int) -> None:
    """Equal numbers of seconds of every symbol up to now, and a whole day of the first."""
    now = int(time.time())
    columns = ", ".join(field.name for field in SCHEMA)
    second_count = million_rows * 1_000_000 // SYMBOLS
    for start in range(now - second_count, now, CHUNK_SECONDS):
        rows = SYMBOLS * min(CHUNK_SECONDS, now - start)
        client.command(_inserted(columns, start, rows, SYMBOLS))
    client.command(_inserted(columns, now - 86_400, 86_400 - second_count, 1))


def _today() -> dt.date:
    return dt.datetime.now(NEW_YORK).date()


def _wait_for_merges(client: "Client") -> None:
    """Wait until no merge has run for some seconds: its CPU would count as the questions'."""
    deadline, quiet = time.monotonic() + MERGES_SECONDS, 0
    while quiet < QUIET_SECONDS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"ClickHouse still merges after {MERGES_SECONDS:.0f} s")
        time.sleep(1.0)
        quiet = 0 if client.command("SELECT count() FROM system.merges") else quiet + 1


def _inserted(columns: str, start: int, rows: int, symbols: int) -> str:
    price = "100 + (cityHash64(number) % 1000) / 100"
    second = f"toDateTime64({start} + intDiv(number, {symbols}), 3, 'UTC')"
    return f"""
        INSERT INTO market.stock_aggregates ({columns})
        SELECT
            concat('S', leftPad(toString(number % {symbols}), 5, '0')), {second}, {second} + 1,
            {price}, 110, 100, {price}, 100 + number % 900, 105, 1000 + number, 101, 105, 10, false,
            {second} + 3, 'websocket'
        FROM numbers({rows})
    """


def _questions(stack: Stack, settings: Settings, million_rows: int) -> Iterator[Line]:
    """CPU of ClickHouse for each question of the page."""
    server = Usage([psutil.Process(stack.process("clickhouse").pid)])
    now, today = dt.datetime.now(dt.UTC), _today()
    with market.connect(settings) as connection, closing(clickhouse.connect(settings)) as client:

        def bars(symbol: str, age: dt.timedelta, every: str) -> pa.Table:
            return market.bars(symbol, now - age, now, every=every, connection=connection)

        questions: dict[str, tuple[Callable[[], pa.Table], str]] = {
            "top movers": (lambda: market.movers(connection=connection), TARGET),
            "last prices of all symbols": (lambda: market.last(connection=connection), TARGET),
            "600 candles of 10 s with their finality": (
                lambda: bars("S00001", 6000 * SECOND, "10s"),
                TARGET,
            ),
            "the same candles without it": (
                lambda: client.query_arrow(
                    WITHOUT_FINALITY, parameters={"since": now - 6000 * SECOND}
                ),
                "",
            ),
            "when the channels traded today": (
                lambda: connection.read("traded_intervals", day=today, symbols=[], limit=30),
                TARGET,
            ),
            "a day of 1-second bars": (
                lambda: bars("S00000", DAY, "1s"),
                "1,000 ms",
            ),
        }
        for name, (ask, target) in questions.items():
            ask()
            cpu, started = server.cpu(), time.monotonic()
            for _ in range(REPEATS):
                ask()
            used = 1000 * (server.cpu() - cpu) / REPEATS
            waited = 1000 * (time.monotonic() - started) / REPEATS
            yield (
                f"{name}, {million_rows} million rows",
                f"{used:.0f} ms of CPU, {waited:.0f} ms",
                target,
            )


@contextmanager
def _inserting(settings: Settings) -> Iterator[None]:
    """The whole market, a block each second, from a thread of its own."""
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        inserting = pool.submit(_insert_until, settings, stopped)
        try:
            yield
        finally:
            stopped.set()
    inserting.result()


def _insert_until(settings: Settings, stopped: threading.Event) -> None:
    draw = np.random.Generator(np.random.PCG64(1))
    with closing(clickhouse.connect(settings)) as client:
        while not stopped.wait(1.0 - time.time() % 1.0):
            symbols = np.arange(ROWS_PER_SECOND) % SYMBOLS
            # The surplus are corrections of the second before.
            second = int(time.time()) - 2 - np.arange(ROWS_PER_SECOND) // SYMBOLS
            names = np.char.add("S", np.char.zfill(symbols.astype(str), 5))
            client.insert_arrow("market.stock_aggregates", _block(names, second, draw))


def _block(names: np.ndarray, second: np.ndarray, draw: np.random.Generator) -> pa.Table:
    count = len(names)
    price = 100 + draw.integers(0, 1000, count) / 100
    start = pa.array(second * 1000).cast(SCHEMA.field("start_timestamp").type)
    end = pa.array(second * 1000 + 1000).cast(SCHEMA.field("end_timestamp").type)
    received = pa.array(np.full(count, time.time_ns() // 1000) + np.arange(count))
    volume = pa.array(draw.integers(1, 1000, count).astype(float)).cast(DECIMAL)
    values = {
        "symbol": pa.array(names),
        "start_timestamp": start,
        "end_timestamp": end,
        **dict.fromkeys(PRICES, pa.array(price)),
        "volume": volume,
        "accumulated_volume": volume,
        "average_size": pa.array(np.full(count, 10.0)),
        "otc": pa.array(np.zeros(count, bool)),
        "received_at": received.cast(SCHEMA.field("received_at").type),
        "source": pa.array(["websocket"] * count),
    }
    return pa.table({field.name: values[field.name] for field in SCHEMA}, schema=SCHEMA)


@contextmanager
def serving(stack: Stack, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port(0, set())
    command = [sys.executable, "-m", "polygon_assets.cli", "page", "--port", str(port)]
    environment = os.environ | stack.environment() | {"MARKET_CALENDAR": "24/7"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port, "/liveness"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the page does not answer:\n{log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _waits(browser: "Browser", address: str) -> Iterator[Line]:
    """What one visitor waits for, alone; medians."""
    board = [_opened(browser, address, ROWS) for _ in range(REPEATS)]
    yield "the board with all symbols, first paint", _seconds(board), "2 s"
    candles = [_opened(browser, f"{address}/symbol/S00000", "canvas") for _ in range(REPEATS)]
    yield "a symbol's candles, first paint", _seconds(candles), "2 s"
    yield _day(browser, address, "beside them all", "")


def _day(browser: "Browser", address: str, meanwhile: str, target: str) -> Line:
    days = [_day_of_seconds(browser, f"{address}/symbol/S00000") for _ in range(REPEATS)]
    name = f"the day so far, {days[-1][1]:,} seconds, from the click to the candles, {meanwhile}"
    return name, _seconds([taken for taken, _ in days]), target


def _opened(browser: "Browser", address: str, shown: str) -> float:
    context = browser.new_context()
    tab = context.new_page()
    started = time.monotonic()
    tab.goto(address)
    tab.locator(shown).first.wait_for()
    taken = time.monotonic() - started
    context.close()
    return taken


def _day_of_seconds(browser: "Browser", address: str) -> tuple[float, int]:
    """From choosing the whole day until the browser has drawn its seconds, and their number."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{address}?width=1+s")
    tab.wait_for_function(DRAWN, arg=1)
    now = dt.datetime.now(NEW_YORK)
    so_far = int((now - now.replace(hour=0, minute=0, second=0)).total_seconds())
    started = time.monotonic()
    tab.get_by_text("day", exact=True).click()
    tab.wait_for_function(DRAWN, arg=so_far - STORED_AFTER)
    tab.evaluate("() => new Promise(shown => requestAnimationFrame(() => setTimeout(shown)))")
    taken, count = time.monotonic() - started, int(tab.evaluate(CANDLES))
    context.close()
    return taken, count


def _visits(
    tab: "Page", settings: Settings, page: psutil.Process, seconds: float, title: str
) -> Iterator[Line]:
    """Visitors stay, and the one in `tab` waits for prices that come at known moments."""
    tab.get_by_placeholder("symbols that begin with").fill(PROBE)
    with closing(clickhouse.connect(settings)) as client:
        _probe(client, tab, 1)
        time.sleep(10.0)
        server = Usage([page])
        chromium = Usage(browser_processes())
        delays, end = list[float](), time.monotonic() + seconds
        while time.monotonic() < end:
            delays.append(_probe(client, tab, 2 + len(delays)))
            tab.wait_for_timeout(1000 * PROBE_SECONDS)
    yield f"{title}: the page's process", f"{server.cores():.2f} cores", "0.3 cores"
    grown = f"{server.before:.0f} to {server.memory():.0f} MB"
    yield "its memory", grown, "flat"
    yield "Chromium with all tabs", f"{chromium.cores():.2f} cores", ""
    yield "its memory", f"{chromium.before:.0f} to {chromium.memory():.0f} MB", "flat"
    yield "from queryable to visible", _seconds(delays), "1 s"


def _probe(client: "Client", tab: "Page", number: int) -> float:
    """Insert a price and wait until the visitor sees it; seconds."""
    names, second = np.array([PROBE]), np.array([int(time.time())])
    block = _block(names, second, np.random.Generator(np.random.PCG64(number)))
    price = 5000.0 + number
    place = SCHEMA.get_field_index("close")
    client.insert_arrow(
        "market.stock_aggregates", block.set_column(place, "close", pa.array([price]))
    )
    started = time.monotonic()
    tab.locator(ROWS).filter(has_text=f"{price:,.2f}").first.wait_for()
    return time.monotonic() - started


def browser_processes() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "chrom" in process.name()
    ]


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s median, {max(values):.2f} s at most"
