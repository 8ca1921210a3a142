"""Each dashboard in a real Superset, looked at in Chromium: every chart's query has an answer.

The environment is made by `make .venv-superset/.ready`; CI has it, elsewhere the tests are skipped.
"""

import datetime as dt
import os
import random
import re
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response, expect
from playwright.sync_api import Page as Tab

from polygon_assets.batch import marts
from polygon_assets.batch.marts import MARTS
from polygon_assets.clients import clickhouse, snowflake
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.messages import DeadLetter, Heartbeat, encode
from polygon_assets.serving import gap_ledger, heartbeat_history
from polygon_assets.serving.dead_letters import INGEST_TABLE
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets_tests.browser.conftest import browser
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.warehouse_harness import (
    build_all,
    create,
    merge,
    merge_closes,
    split,
    ticker,
)
from polygon_assets_tests.unit.serving.seconds import Second, insert
from scripts.superset import BINARIES, USER, Superset, databases

__all__ = ["browser"]
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (BINARIES / "superset").exists() and not os.environ.get("CI"),
        reason="Superset is not installed: make .venv-superset/.ready",
    ),
]
SYMBOLS = ("AAPL", "MSFT", "NVDA")
FRIDAY, MONDAY = dt.date(2026, 11, 20), dt.date(2026, 11, 23)
CHARTS = {"live-market": 4, "daily": 3, "trust": 8}
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """ClickHouse and Snowflake, each with some rows for every chart."""
    servers = ("clickhouse", "snowflake")
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, only=servers, fixed_ports=False) as stack:
        _fill_clickhouse(stack)
        _fill_snowflake(stack)
        yield stack


def _fill_clickhouse(stack: Stack) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    first = round(now.timestamp()) - 120
    draw = random.Random(8)
    # Also of the next hour: the dashboards show what was traded within seconds.
    seconds = [
        _second(draw, symbol, 1000 * (first + at)) for symbol in SYMBOLS for at in range(3600)
    ]
    hour = dt.timedelta(hours=1)
    beat = Heartbeat("producer", "host:1", "streaming", 1, round(1000 * now.timestamp()), rate=53.0)
    beat.desired = beat.confirmed = 3
    letter = DeadLetter("filter", "validate", "no price", b"{}", round(1e6 * now.timestamp()))
    with closing(clickhouse.connect(stack.settings())) as client:
        insert(client, seconds)
        gap = GapEntry("g1", now - hour, now - hour / 2, "crash", state="verified")
        gap_ledger.store(client, [gap], now)
        heartbeat_history.store(client, [beat])
        client.raw_insert(INGEST_TABLE, insert_block=encode(letter), fmt="JSONEachRow")


def _second(draw: random.Random, symbol: str, start_ms: int) -> Second:
    price = draw.randrange(10_000, 20_000) / 100
    received_us = 1000 * (start_ms + 2_000)
    volume = Decimal(draw.randrange(1, 999))
    return Second(symbol, start_ms, received_us, price, price, price, price, volume, None)


def _fill_snowflake(stack: Stack) -> None:
    compared = [
        {
            "trading_day": FRIDAY,
            "symbol": symbol,
            "verdict": verdict,
            "compared_at": dt.datetime.now(dt.UTC),
        }
        for symbol, verdict in (("AAPL", "match"), ("MSFT", "drift"))
    ]
    with snowflake.connect(stack.settings()) as session:
        create(session)
        merge(session, "tickers", *map(ticker, SYMBOLS))
        merge(session, "stock_split", split("1", "AAPL", "2026-11-23", 1, 2))
        for symbol in SYMBOLS:
            merge_closes(session, {FRIDAY: 100.0, MONDAY: 50.0}, symbol)
        build_all(session, FRIDAY, MONDAY)
        marts.replace_day(session, MARTS["stream_vs_batch"], FRIDAY, compared)


@pytest.fixture(scope="module")
def address(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Superset's address and the password of its user.

    An earlier import led elsewhere: the second one replaces it.
    """
    superset = Superset(tmp_path_factory.mktemp("superset"))
    settings = stack.settings()
    superset.prepare(databases(settings.model_copy(update={"clickhouse_port": 9})))
    superset.prepare(databases(settings))
    port = free_port(0, set())
    with superset.running(port):
        yield f"http://{HOST}:{port}", superset.password


@pytest.fixture(scope="module")
def tab(browser: Browser, address: tuple[str, str]) -> Iterator[Tab]:
    """A tab of a user who has logged in."""
    url, password = address
    context = browser.new_context(viewport={"width": 1600, "height": 1900})
    tab = context.new_page()
    tab.goto(f"{url}/login/")
    tab.get_by_label("username").or_(tab.locator("#username")).first.fill(USER)
    tab.get_by_label("password").or_(tab.locator("#password")).first.fill(password)
    tab.keyboard.press("Enter")
    tab.wait_for_url(lambda shown: "/login" not in shown, timeout=PATIENCE_MS)
    yield tab
    context.close()


@pytest.mark.parametrize("slug", CHARTS)
def test_every_chart_of_a_dashboard_has_rows(
    tab: Tab, address: tuple[str, str], slug: str, tmp_path: Path
) -> None:
    asked: dict[str, Response] = {}

    def note(answer: Response) -> None:
        """Keep each chart's answer; its number is in the address."""
        if chart := re.search(r"slice_id%22%3A(\d+)", answer.url):
            asked[chart[1]] = answer

    def all_asked() -> bool:
        tab.wait_for_timeout(500)
        return len(asked) >= CHARTS[slug]

    tab.on("response", note)
    tab.goto(f"{address[0]}/superset/dashboard/{slug}/?standalone=1")
    eventually(all_asked, f"the queries of {CHARTS[slug]} charts", PATIENCE_MS / 1000)
    tab.remove_listener("response", note)
    for answer in asked.values():
        assert answer.status == 200, answer.text()
        for result in answer.json()["result"]:
            assert result["status"] == "success", result
            assert result["rowcount"] > 0, result["query"]
    expect(tab.get_by_text("Error", exact=False)).to_have_count(0)
    tab.screenshot(path=tmp_path / f"{slug}.png")
