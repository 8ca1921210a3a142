"""Every view of the page, in a headless Chromium."""

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from clickhouse_connect.driver.client import Client
from playwright.sync_api import expect

from polygon_assets import market
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.page.candles import columns_of
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets_tests.browser.conftest import Visit
from polygon_assets_tests.unit.serving.seconds import Second, insert

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SYMBOLS = ("AAPL", "MSFT", "NVDA")
SECONDS = 600
PATIENCE_MS = 30_000
SECOND = dt.timedelta(seconds=1)
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module", autouse=True)
def first_ms(client: Client) -> int:
    """Ten minutes of three symbols, up to now; the first second in Unix milliseconds."""
    first = (round(dt.datetime.now(dt.UTC).timestamp()) - SECONDS) * 1000
    draw = random.Random(4)
    insert(
        client,
        [_second(draw, symbol, first + 1000 * at) for symbol in SYMBOLS for at in range(SECONDS)],
    )
    return first


def _second(draw: random.Random, symbol: str, start_ms: int) -> Second:
    prices = [draw.randrange(10_000, 20_000) / 100 for _ in range(4)]
    return Second(
        symbol,
        start_ms,
        (start_ms + 3_000) * 1000,
        prices[0],
        max(prices),
        min(prices),
        prices[1],
        Decimal(draw.randrange(100, 9_999)),
        None,
    )


@pytest.fixture(autouse=True)
def _no_gap_is_left(client: Client) -> Iterator[None]:
    yield
    client.command("TRUNCATE TABLE market.stream_gaps")


def test_the_board_has_the_newest_price_of_every_symbol(
    visit: Visit, address: str, stack: Stack
) -> None:
    visit.page.goto(address)
    cells = visit.page.locator("perspective-viewer regular-table tbody tr")
    expect(cells).to_have_count(len(SYMBOLS))
    shown = {row.split("\t")[0]: row.split("\t")[1] for row in cells.all_inner_texts()}
    with market.connect(stack.settings()) as connection:
        rows = market.last(connection=connection).to_pylist()
    assert shown == {row["symbol"]: f"{row['close']:.2f}" for row in rows}


def test_a_new_second_moves_the_board(visit: Visit, address: str, client: Client) -> None:
    visit.page.goto(address)
    rows = visit.page.locator("perspective-viewer regular-table tbody tr")
    expect(rows).to_have_count(len(SYMBOLS))
    now_ms = round(dt.datetime.now(dt.UTC).timestamp()) * 1000
    newest = _second(random.Random(3), "NVDA", now_ms)
    for price, shown in ((199.91, "199.91"), (199.92, "199.92")):
        now_ms += 1000
        insert(client, [replace(newest, start_ms=now_ms, close=price, high=price)])
        expect(rows.filter(has_text="NVDA")).to_contain_text(shown)
        expect(rows.filter(has_text=shown)).to_have_count(1)


def test_the_board_is_filtered_as_one_types(visit: Visit, address: str) -> None:
    visit.page.goto(address)
    rows = visit.page.locator("perspective-viewer regular-table tbody tr")
    expect(rows).to_have_count(len(SYMBOLS))
    field = visit.page.get_by_placeholder("symbols that begin with")
    link = visit.page.get_by_role("link", name="open MSFT")
    field.fill("MS")
    expect(rows).to_have_count(1)
    expect(link).to_have_count(0)
    field.fill("MSFT")
    expect(link).to_have_attribute("href", "symbol/MSFT")


def candles(visit: Visit) -> dict[str, list[Any]]:
    """The columns that the browser's chart draws."""
    columns: dict[str, list[Any]] = visit.page.evaluate(
        """() => {
          for (const document of Bokeh.documents)
            for (const model of document._all_models.values())
              if (model.type === "ColumnDataSource" && "mark_at" in model.data)
                return Object.fromEntries(
                  ["start", "open", "high", "low", "close"].map(
                    name => [name, Array.from(model.data[name])]))
          return {start: []}
        }"""
    )
    return columns


@pytest.mark.parametrize(("label", "every"), [("1 s", "1s"), ("10 s", "10s"), ("1 min", "1m")])
def test_candles_are_the_bars_of_clickhouse(
    visit: Visit, address: str, stack: Stack, label: str, every: str
) -> None:
    visit.page.goto(f"{address}/symbol/AAPL?span=1+hour")
    visit.page.get_by_text(label, exact=True).click()
    width_ms = 1000 * market.EVERY[every]
    visit.page.wait_for_function(
        """width => { for (const document of Bokeh.documents)
             for (const model of document._all_models.values())
               if (model.type === "ColumnDataSource" && "mark_at" in model.data)
                 return model.data.start[1] - model.data.start[0] === width }""",
        arg=width_ms,
        timeout=PATIENCE_MS,
    )
    now = dt.datetime.now(dt.UTC)
    with market.connect(stack.settings()) as connection:
        bars = market.bars("AAPL", now - dt.timedelta(days=1), now, every, connection=connection)
    expected, drawn = columns_of(bars), candles(visit)
    assert len(drawn["start"]) > SECONDS // market.EVERY[every] // 2
    for name, values in drawn.items():
        assert values == expected[name][-len(values) :], name
    visit.page.wait_for_function(
        """([low, high]) => Bokeh.documents.some(
             document => [...document._all_models.values()].some(model => model.type === "Figure"
               && 0 < model.y_range.start && model.y_range.start <= low
               && high <= model.y_range.end))""",
        arg=[min(drawn["low"]), max(drawn["high"])],
        timeout=PATIENCE_MS,
    )


def test_a_new_second_moves_the_candles_and_the_headline(
    visit: Visit, address: str, client: Client
) -> None:
    visit.page.goto(f"{address}/symbol/MSFT")
    expect(visit.page.get_by_text("MSFT 1")).to_be_visible()
    now_ms = round(dt.datetime.now(dt.UTC).timestamp()) * 1000
    newest = _second(random.Random(1), "MSFT", now_ms)
    insert(client, [replace(newest, close=199.87, high=200.0)])
    expect(visit.page.get_by_text("MSFT 199.87")).to_be_visible()


@pytest.mark.parametrize("path", ["", "trust"])
def test_a_stream_that_stops_is_noticed_within_seconds(
    visit: Visit, address: str, client: Client, path: str
) -> None:
    silence = visit.page.get_by_text("no new second of any symbol for")
    visit.page.goto(f"{address}/{path}")
    now_ms = round(dt.datetime.now(dt.UTC).timestamp()) * 1000
    insert(client, [_second(random.Random(2), "MSFT", now_ms)])
    expect(silence).to_be_hidden(timeout=4_000)
    expect(silence).to_be_visible(timeout=9_000)


def test_a_gap_appears_in_the_ledger_and_turns_verified(
    visit: Visit, address: str, client: Client
) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    gap = GapEntry("g", now - 60 * SECOND, now - 30 * SECOND, "crash", ("A.*",))
    visit.page.goto(f"{address}/trust")
    expect(visit.page.get_by_text("no gap", exact=False).first).to_be_visible()
    gap_ledger.store(client, [gap], now)
    ledger = visit.page.get_by_label("Gap ledger")
    expect(ledger.get_by_text("open")).to_be_visible(timeout=10_000)
    gap_ledger.store(client, [replace(gap, state="verified", rows_added=7)], now + SECOND)
    expect(ledger.get_by_text("verified")).to_be_visible(timeout=10_000)


@pytest.mark.parametrize("width", [360, 820, 1600])
@pytest.mark.parametrize(
    "path", ["", "symbol/AAPL", "trust", "day/2026-11-20", "cost", "?theme=dark"]
)
def test_each_view_fits_a_phone_a_tablet_and_a_screen(
    visit: Visit, address: str, path: str, width: int
) -> None:
    visit.page.set_viewport_size({"width": width, "height": 800})
    visit.page.goto(f"{address}/{path}")
    expect(visit.page.get_by_text("s old").first).to_be_visible()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["", "?theme=dark"])
@pytest.mark.parametrize("path", ["", "symbol/AAPL", "trust", "day/2026-11-20", "cost"])
def test_axe_finds_no_violation_of_its_rules(
    visit: Visit, address: str, client: Client, path: str, theme: str
) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    gap = GapEntry("g", now - 60 * SECOND, now - 30 * SECOND, "crash", ("A.*",))
    verified = replace(gap, gap_id="v", state="verified")
    gap_ledger.store(client, [gap, verified], now)
    visit.page.goto(f"{address}/{path}{theme}")
    expect(visit.page.get_by_text("s old").first).to_be_visible()
    if not path:
        rows = visit.page.locator("perspective-viewer regular-table tbody tr")
        expect(rows.first).to_be_visible()
    # Perspective draws a grid in its own colours before it reads ours.
    expect(visit.page.locator("td[style*='rgb(51, 141, 205)']")).to_have_count(0)
    found = Axe().run(visit.page).response["violations"]
    assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []


def test_the_search_field_leads_to_a_symbol(visit: Visit, address: str) -> None:
    visit.page.goto(f"{address}/trust")
    field = visit.page.locator("input[name=symbol]")
    field.fill("nvda")
    field.press("Enter")
    expect(visit.page.get_by_text("NVDA 1")).to_be_visible()
    assert visit.page.url == f"{address}/symbol/NVDA"


def test_without_clickhouse_each_panel_says_so_and_the_page_comes_back(
    visit: Visit, address: str, stack: Stack
) -> None:
    visit.page.goto(f"{address}/trust")
    expect(visit.page.get_by_text("no gap", exact=False).first).to_be_visible()
    stack.kill("clickhouse")
    port = stack.settings().clickhouse_port
    problem = visit.page.get_by_text(f"ClickHouse at 127.0.0.1:{port}")
    expect(problem.first).to_be_visible()
    stack.restart("clickhouse")
    expect(problem).to_have_count(0)
