"""The full market through everything, first alone and then with visitors of the live page.

Add what visitors and streams could do to each other here; what a visitor waits for belongs to
`page`. Everything shares the machine, the visitors' Chromium included.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil

from bench import live
from bench.latency import LatencyPoller, quantile
from bench.page import Line, Usage, browser_processes, serving, view
from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.ports import HOST
from scripts import headless_browser

SYMBOL = "AAPL"
SETTLE_SECONDS = 15.0
"""From the first visit until every view is drawn."""


def run(folder: Path, seconds: float, visitors: int, kafka: str) -> Iterator[Line]:
    """Watch the streams for so many seconds, then again with visitors."""
    from playwright.sync_api import sync_playwright

    with (
        live.running(folder, kafka=kafka) as streams,
        closing(clickhouse.connect(streams.stack.settings())) as client,
    ):
        poller = LatencyPoller(client)
        live.watch(poller, live.WARM_UP_SECONDS, record=False)
        live.watch(poller, seconds)
        yield "the streams alone: received → queryable", _lateness(poller), "p99 1.5 s"
        with (
            serving(streams.stack, folder / "page.log") as (port, process),
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=headless_browser.installed(), args=["--no-sandbox"]
            )
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tabs = [context.new_page() for _ in range(visitors)]
            for number, tab in enumerate(tabs):
                tab.goto(f"http://{HOST}:{port}/{view(number, SYMBOL)}")

            def pause(seconds: float) -> None:
                tabs[0].wait_for_timeout(1000 * seconds)

            live.watch(poller, SETTLE_SECONDS, record=False, pause=pause)
            used = {
                "the page's process": Usage([process]),
                "Chromium": Usage(browser_processes()),
                "ClickHouse": Usage([psutil.Process(streams.stack.process("clickhouse").pid)]),
            }
            live.watch(poller, seconds, pause=pause)
            name = f"with {visitors} visitors: received → queryable"
            yield name, _lateness(poller), "p99 1.5 s"
            for name, usage in used.items():
                target = "0.3 cores" if "page" in name else ""
                yield f"{name} meanwhile", f"{usage.cores():.2f} cores", target
            browser.close()


def _lateness(poller: LatencyPoller) -> str:
    p50, p99 = (quantile(poller.after_received, share) for share in (0.5, 0.99))
    poller.after_received.clear()
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s"
