"""Take the pictures of README and docs/page.md from the running system; start `make dev` first.

Needs chromium or google-chrome on the PATH. The pictures are plain screenshots: when the graph or
the page changes, take new ones.
"""

import json
import sys
from pathlib import Path
from typing import Any

from scripts import headless_browser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GROUPS = ("stream", "serving", "batch")
VIEWS = {"page-market": "", "page-symbol": "symbol/AAPL", "page-trust": "trust?theme=dark"}
"""Pictures of the page, with the view each shows."""
SETTLES_MS = 8_000


def main() -> None:
    if not headless_browser.installed():
        sys.exit(f"none of {', '.join(headless_browser.NAMES)} is installed")
    servers = running_servers()
    take_lineage(servers["dagster"]["port"], DOCS / "lineage.png")
    take_views(servers["page"]["port"])


def running_servers() -> dict[str, Any]:
    state = ROOT / ".local" / "stack.json"
    if not state.exists():
        sys.exit("nothing is running: start `make dev` in another shell first")
    servers: dict[str, Any] = json.loads(state.read_text())["servers"]
    return servers


def take_lineage(port: int, target: Path) -> None:
    """The asset graph with every group open.

    In a wider or lower window the UI zooms in and cuts off the top of the graph.
    """
    groups = ",".join(f"global@global:{group}" for group in GROUPS)
    url = f"http://127.0.0.1:{port}/asset-groups?expanded={groups}"
    headless_browser.visit(url, "--window-size=1500,1850", f"--screenshot={target}")
    print(f"wrote {target}")


def take_views(port: int) -> None:
    """The views of the page, which need a WebSocket and real time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=headless_browser.installed(), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        for name, path in VIEWS.items():
            page.goto(f"http://127.0.0.1:{port}/{path}")
            page.wait_for_timeout(SETTLES_MS)
            page.screenshot(path=DOCS / f"{name}.png")
            print(f"wrote {DOCS / name}.png")
        browser.close()


if __name__ == "__main__":
    main()
