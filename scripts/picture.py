"""Take docs/lineage.png from the running UI; start `make dev` first.

Needs chromium or google-chrome on the PATH. The picture is a plain screenshot: when the graph
changes, take a new one.
"""

import json
import sys
from pathlib import Path

from scripts import headless_browser

ROOT = Path(__file__).parents[1]
GROUPS = ("stream", "serving", "batch")


def graph_url() -> str:
    """The address of the running stack's asset graph with every group open."""
    state = ROOT / ".local" / "stack.json"
    if not state.exists():
        sys.exit("nothing is running: start `make dev` in another shell first")
    port = json.loads(state.read_text())["servers"]["dagster"]["port"]
    groups = ",".join(f"global@global:{group}" for group in GROUPS)
    return f"http://127.0.0.1:{port}/asset-groups?expanded={groups}"


def take(url: str, target: Path, size: str = "1500,1850") -> None:
    """Take a screenshot after the page has settled.

    In a wider or lower window the UI zooms in and cuts off the top of the graph.
    """
    if not headless_browser.installed():
        sys.exit(f"none of {', '.join(headless_browser.NAMES)} is installed")
    headless_browser.visit(url, f"--window-size={size}", f"--screenshot={target}")
    print(f"wrote {target}")


if __name__ == "__main__":
    take(
        sys.argv[1] if len(sys.argv) > 1 else graph_url(),
        Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "lineage.png",
    )
