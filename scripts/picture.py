"""Take docs/lineage.png from the running UI; start `make dev` first.

Needs chromium or google-chrome on the PATH. The picture is a plain screenshot: when the graph
changes, take a new one.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
GROUPS = ("stream", "serving", "batch")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def graph_url() -> str:
    """The address of the running stack's asset graph with every group open."""
    state = ROOT / ".local" / "stack.json"
    if not state.exists():
        sys.exit("nothing is running: start `make dev` in another shell first")
    port = json.loads(state.read_text())["servers"]["dagster"]["port"]
    groups = ",".join(f"global@global:{group}" for group in GROUPS)
    return f"http://127.0.0.1:{port}/asset-groups?expanded={groups}"


def take(url: str, target: Path, size: str = "1700,1750") -> None:
    """Take a screenshot after the page has settled.

    In a wider or lower window the UI zooms in and cuts off the top of the graph.
    """
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *(
                    browser,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--hide-scrollbars",
                ),
                *(
                    "--disable-background-networking",
                    "--disable-component-update",
                    f"--user-data-dir={profile}",
                ),
                *(
                    f"--window-size={size}",
                    "--virtual-time-budget=45000",
                    f"--screenshot={target}",
                    url,
                ),
            ],
            check=True,
            capture_output=True,
            timeout=180,
        )
    print(f"wrote {target}")


if __name__ == "__main__":
    take(
        sys.argv[1] if len(sys.argv) > 1 else graph_url(),
        Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "lineage.png",
    )
