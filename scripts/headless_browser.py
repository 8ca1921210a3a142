"""A headless Chromium: visits one page and returns what the browser prints, such as its DOM.

Add an option that every visit needs here; what is done with a page belongs to the callers.
"""

import shutil
import subprocess
import tempfile

NAMES = ("chromium", "chromium-browser", "google-chrome")
VISIT_SECONDS = 180
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    # The browser's clock runs ahead while the page waits, so slow pages settle within seconds.
    "--virtual-time-budget=45000",
)


def installed() -> str:
    """The path of an installed browser; empty if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


def visit(url: str, *options: str) -> str:
    """Open the page in a new profile, let it settle, and return the browser's standard output.

    `options` say what to do then: `--dump-dom`, `--screenshot=FILE`. Raises
    subprocess.CalledProcessError and subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            [installed(), *_OPTIONS, f"--user-data-dir={profile}", *options, url],
            check=True,
            capture_output=True,
            text=True,
            timeout=VISIT_SECONDS,
        ).stdout
