"""A ClickHouse with a small market, the page as a process, and a headless Chromium.

Add a fixture that several modules of this folder need; expectations belong to the tests.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.ports import HOST, answers, free_port
from polygon_assets.local.launcher.servers import page as page_server
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets_tests.processes.harness import eventually
from scripts.headless_browser import NAMES

PAGE_SECONDS = 90.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(
        tmp_path_factory.mktemp("stack"), only=("clickhouse",), fixed_ports=False
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    client = clickhouse.connect(stack.settings())
    yield client
    client.close()


@pytest.fixture(scope="module")
def address(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's address; ends with the process."""
    log = tmp_path_factory.mktemp("page") / "page.log"
    with running_page(stack.environment() | {"MARKET_CALENDAR": "24/7"}, log) as address:
        yield address
    assert "Traceback" not in log.read_text(), log.read_text()


@contextmanager
def running_page(variables: Mapping[str, str], log: Path) -> Iterator[str]:
    """The page as a process, with these variables besides the environment's; its address."""
    port = free_port(0, set())
    command = [sys.executable, "-m", "polygon_assets.cli", "page", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=os.environ | variables | page_server().own_variables,
            stdout=file,
            stderr=file,
        )
    try:
        eventually(lambda: answers(port, "/liveness"), f"the page answers; {log}", PAGE_SECONDS)
        yield f"http://{HOST}:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    paths = [path for name in NAMES if (path := shutil.which(name))]
    if not paths:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=paths[0], args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A visitor's tab; what went wrong in it, and where it sent requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._check)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _check(self, request: Request) -> None:
        local = (f"http://{HOST}", f"ws://{HOST}", "data:", "blob:")
        if not request.url.startswith(local):
            self.foreign.append(request.url)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A tab that must end without an error, and without a request to another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context.new_page())
    yield visit
    context.close()
    assert visit.foreign == []
    assert visit.errors == []
