"""Five minutes of the whole market on the board: neither browser nor server grows."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import psutil
import pytest
from clickhouse_connect.driver.client import Client
from playwright.sync_api import CDPSession, expect

from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets_tests.browser.conftest import Visit

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SYMBOLS, ROWS = 10_000, 12_000
"""The surplus of each second corrects the second before."""
MINUTE_MS, MINUTES = 60_000, 5
MOST_GROWTH = 1.15
BLOCK = """
    INSERT INTO market.stock_aggregates
        (symbol, start_timestamp, end_timestamp, open, high, low, close, volume, received_at)
    SELECT concat('S', leftPad(toString(number % {symbols:UInt32}), 5, '0')),
        toDateTime64({second:UInt32} - intDiv(number, {symbols:UInt32}), 3, 'UTC') AS second,
        second + 1, price, 120, 90, price, 100 + number % 900, now64(6, 'UTC')
    FROM (SELECT number, 100 + rand() % 1000 / 100 AS price FROM numbers({rows:UInt32}))
"""


@pytest.fixture(autouse=True)
def _whole_market(stack: Stack, client: Client) -> Iterator[None]:
    """Every symbol has a new price each second."""
    insert(client)
    stopped = threading.Event()
    thread = threading.Thread(target=insert_until, args=(stack.settings(), stopped))
    thread.start()
    yield
    stopped.set()
    thread.join()


def insert_until(settings: Settings, stopped: threading.Event) -> None:
    with closing(clickhouse.connect(settings)) as own_client:
        while not stopped.wait(1.0 - time.time() % 1.0):
            insert(own_client)


def insert(client: Client) -> None:
    second = int(time.time()) - 2
    client.command(BLOCK, parameters={"symbols": SYMBOLS, "rows": ROWS, "second": second})


def heap_mb(session: CDPSession) -> float:
    """The tab's JavaScript objects, without garbage."""
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    [used] = [metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize"]
    return float(used) / 1e6


def renderer_mb() -> float:
    """The process of the tab, with Perspective's WebAssembly memory: the largest renderer."""
    sizes = list[float]()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "--type=renderer" in process.cmdline():
                sizes.append(process.memory_info().rss / 1e6)
    return max(sizes)


def page_process(address: str) -> psutil.Process:
    """The page's server, which the fixture has started below this process."""
    port = address.rpartition(":")[2]
    [process] = [
        child for child in psutil.Process().children() if child.cmdline()[-2:] == ["--port", port]
    ]
    return process


def test_ten_thousand_moving_symbols_cost_the_same_after_five_minutes(
    visit: Visit, address: str
) -> None:
    rows = visit.page.locator("perspective-viewer regular-table tbody tr")
    visit.page.goto(address)
    expect(rows.first).to_be_visible(timeout=60_000)
    session = visit.page.context.new_cdp_session(visit.page)
    session.send("Performance.enable")
    server = page_process(address)
    sizes = list[tuple[float, float, float]]()
    for _ in range(MINUTES + 1):
        visit.page.wait_for_timeout(MINUTE_MS)
        sizes.append((heap_mb(session), renderer_mb(), server.memory_info().rss / 1e6))
    for name, first, last in zip(("heap", "tab", "server"), sizes[0], sizes[-1], strict=True):
        assert last < MOST_GROWTH * first, f"{name}: {sizes}"
    age = visit.page.get_by_text("s old").first.inner_text()
    assert float(age.split()[0]) <= 5, age
