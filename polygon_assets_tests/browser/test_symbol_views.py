"""The charts of one symbol in a headless Chromium: days, splits, gaps, marks, earlier knowledge.

Prices that move while one looks belong to test_page.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from PIL import Image, ImageColor
from playwright.sync_api import expect

from polygon_assets import market
from polygon_assets.clients import snowflake
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.page.candles import COLORS, DOWN, UP, wall_ms
from polygon_assets.page.drawn_candles import MOST_VISIBLE
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets_tests.browser.conftest import Visit
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.warehouse_harness import (
    build_all,
    create,
    merge,
    merge_closes,
    split,
)
from polygon_assets_tests.unit.serving.seconds import Second, insert

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SECONDS, PATIENCE_MS = 3_000, 30_000
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
CORRECTED, FILLED = 40, 30
"""Ages of a second that was corrected half a minute later, and of one that REST filled."""
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
FIRST_DAY, SPLIT_DAY = NOW.date() - 9 * DAY, NOW.date() - 5 * DAY


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Fifty minutes of one symbol in ClickHouse, and eight days with a split in Snowflake."""
    servers = ("clickhouse", "snowflake")
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, only=servers, fixed_ports=False) as stack:
        days = [FIRST_DAY + number * DAY for number in range(8)]
        with closing(snowflake.connect(stack.settings(), 30)) as session:
            create(session)
            closes = {day: 400.0 if day < SPLIT_DAY else 100.0 for day in days}
            merge_closes(session, closes, "AAPL")
            merge(session, "stock_split", split("1", "AAPL", SPLIT_DAY.isoformat(), 1, 4))
            build_all(session, *days)
        yield stack


@pytest.fixture(scope="module", autouse=True)
def _seconds(client: Client) -> None:
    plain = [second(age) for age in range(SECONDS, 0, -1) if age != FILLED]
    wrong = replace(second(CORRECTED), close=111.0)
    right = replace(second(CORRECTED), received_us=second(CORRECTED).received_us + 30_000_000)
    filled = replace(second(FILLED), source="rest")
    insert(client, [*plain, wrong])
    insert(client, [right, filled])


def second(age: int) -> Second:
    """AAPL's bar `age` seconds before NOW."""
    start_ms = round((NOW - age * SECOND).timestamp() * 1000)
    price = 100.0 + age % 7
    received_us = (start_ms + 3_000) * 1000
    return Second(
        "AAPL", start_ms, received_us, price, price + 1, price - 1, price, Decimal(10), None
    )


def drawn(visit: Visit, *names: str) -> dict[str, list[Any]]:
    """The data of the chart's source that has these columns; empty while it has no row."""
    columns: dict[str, list[Any]] = visit.page.evaluate(
        """names => {
          for (const document of Bokeh.documents)
            for (const model of document._all_models.values())
              if (model.type === "ColumnDataSource" && names.every(name => name in model.data))
                return Object.fromEntries(names.map(name => [name, Array.from(model.data[name])]))
          return Object.fromEntries(names.map(name => [name, []]))
        }""",
        names,
    )
    return columns


def wait_for(visit: Visit, count: int, *names: str) -> dict[str, list[Any]]:
    """The chart's data once the source with these columns has at least so many rows."""
    visit.page.wait_for_function(
        """([names, count]) => globalThis.Bokeh && Bokeh.documents.some(document =>
          [...document._all_models.values()].some(model => model.type === "ColumnDataSource"
            && names.every(name => name in model.data) && model.data[names[0]].length >= count))""",
        arg=[names, count],
        timeout=PATIENCE_MS,
    )
    return drawn(visit, *names)


def test_days_are_those_of_the_marts_with_the_split_at_its_day(
    visit: Visit, address: str, stack: Stack
) -> None:
    visit.page.goto(f"{address}/symbol/AAPL?width={quote('1 day')}")
    candles = wait_for(visit, 8, "start", "close", "label", "mark_at")
    days = market.adjusted("AAPL", stack.settings()).to_pylist()
    assert [day["close"] for day in days] == [100.0] * 8
    assert candles["close"][:8] == [day["close"] for day in days]
    assert candles["label"][:8] == ["adjusted for splits"] * 8
    splits = wait_for(visit, 1, "at", "label")
    assert splits["label"] == ["4 for 1"]
    assert splits["at"] == [candles["start"][(SPLIT_DAY - FIRST_DAY).days]]


def test_a_day_of_seconds_is_drawn_at_once_and_marks_what_was_filled_or_corrected(
    visit: Visit, address: str, stack: Stack
) -> None:
    midnight = NOW.astimezone(NEW_YORK).replace(hour=0, minute=0, second=0)
    with market.connect(stack.settings()) as connection:
        bars = market.bars("AAPL", midnight, NOW, connection=connection)
    visit.page.goto(f"{address}/symbol/AAPL?width={quote('1 s')}&span=day")
    candles = wait_for(visit, bars.num_rows, "start", "close", "mark", "mark_at")
    # Shortly after midnight the bars that are loaded at least reach into yesterday.
    assert candles["close"][-bars.num_rows :] == bars["close"].to_pylist()
    marks = {
        candles["start"][place]: mark for place, mark in enumerate(candles["mark"]) if mark != ""
    }
    assert marks == {
        wall_ms(NOW - CORRECTED * SECOND): "corrected",
        wall_ms(NOW - FILLED * SECOND): "filled",
    }


def painted(visit: Visit, colour: str) -> int:
    """How many pixels of the price chart have a colour."""
    chart = visit.page.locator(".bk-Figure").first.screenshot()
    pixels = np.asarray(Image.open(BytesIO(chart)).convert("RGB"))
    return int((pixels == ImageColor.getrgb(colour)).all(axis=2).sum())


def test_candles_are_painted_whichever_view_one_comes_from(visit: Visit, address: str) -> None:
    """The data of a chart may be right and its canvas empty all the same."""
    for view in ("/trust", "/"):
        visit.page.goto(address + view)
        visit.page.goto(f"{address}/symbol/AAPL?width={quote('10 s')}")
        wait_for(visit, 50, "start", "close", "mark_at")
        eventually(
            lambda: min(painted(visit, colour) for colour in (UP, DOWN)) > 100,
            "candles that rise and that fall are painted",
        )


def test_too_many_candles_are_drawn_as_one_until_one_zooms_in(
    visit: Visit, address: str, client: Client
) -> None:
    insert(client, [replace(second(age), symbol="LONG") for age in range(2 * MOST_VISIBLE, 0, -1)])
    visit.page.goto(f"{address}/symbol/LONG?width={quote('1 s')}&span={quote('1 hour')}")
    notice = visit.page.get_by_text("are drawn as one")
    wait_for(visit, 1_000, "start", "mark_at")
    expect(notice).to_have_count(0)
    visit.page.locator(".bk-events").first.hover()
    for _ in range(30):
        visit.page.mouse.wheel(0, 300)
        visit.page.wait_for_timeout(200)
        if notice.count():
            break
    visit.page.wait_for_function(
        """count => Bokeh.documents.some(document => [...document._all_models.values()].some(
             model => model.data?.count?.reduce((sum, bars) => sum + bars, 0) >= count))""",
        arg=MOST_VISIBLE + 1,
        timeout=PATIENCE_MS,
    )
    many = drawn(visit, "start", "high", "low", "count", "mark_at")
    assert len(many["start"]) < sum(many["count"])
    assert (max(many["high"]), min(many["low"])) == (107.0, 99.0)
    for _ in range(60):
        visit.page.mouse.wheel(0, -300)
        visit.page.wait_for_timeout(100)
        if not notice.count():
            break
    visit.page.wait_for_function(
        """() => Bokeh.documents.some(document => [...document._all_models.values()].some(
             model => model.data?.count?.length && model.data.count.every(bars => bars === 1)))""",
        timeout=PATIENCE_MS,
    )


def test_a_gap_is_shaded_in_the_colour_of_its_state(
    visit: Visit, address: str, client: Client
) -> None:
    gap = GapEntry("g", NOW - 60 * SECOND, NOW - 50 * SECOND, "crash", ("A.AAPL",))
    gap_ledger.store(client, [gap, replace(gap, gap_id="other", channels=("A.MSFT",))], NOW)
    visit.page.goto(f"{address}/symbol/AAPL")
    shades = wait_for(visit, 1, "left", "right", "color", "label")
    assert shades == {
        "left": [wall_ms(gap.since)],
        "right": [wall_ms(gap.until)],
        "color": [COLORS["gap"]],
        "label": ["crash: open"],
    }
    gap_ledger.store(client, [replace(gap, state="verified")], NOW + SECOND)
    visit.page.wait_for_function(
        """color => Bokeh.documents.some(document => [...document._all_models.values()].some(
             model => model.data?.left && model.data.color?.[0] === color))""",
        arg=COLORS["verified"],
        timeout=PATIENCE_MS,
    )


def test_a_price_as_it_was_known_stands_beside_the_final_one(
    visit: Visit, address: str, stack: Stack
) -> None:
    at = NOW - (CORRECTED - 10) * SECOND
    width = quote("1 s")
    visit.page.goto(f"{address}/symbol/AAPL?width={width}&at={quote(at.isoformat())}")
    candles = wait_for(visit, 100, "start", "close", "mark")
    place = candles["start"].index(wall_ms(NOW - CORRECTED * SECOND))
    visit.page.wait_for_function(
        """() => Bokeh.documents.some(document => [...document._all_models.values()].some(
             model => model.type === "ColumnDataSource" && model.data.start?.length
               && Object.keys(model.data).length === 2))""",
        timeout=PATIENCE_MS,
    )
    known = visit.page.evaluate(
        """() => { for (const document of Bokeh.documents)
             for (const model of document._all_models.values())
               if (model.type === "ColumnDataSource" && model.data.start
                   && Object.keys(model.data).length === 2)
                 return Array.from(model.data.start).map(
                   (start, place) => [start, model.data.close[place]]) }"""
    )
    with market.connect(stack.settings()) as connection:
        rows = market.as_known_at("AAPL", at, NOW - DAY, NOW, connection=connection).to_pylist()
    earlier = {wall_ms(row["start_timestamp"]): row["close"] for row in rows}
    assert known
    assert all(earlier[start] == close for start, close in known)
    corrected = wall_ms(NOW - CORRECTED * SECOND)
    assert (dict(known)[corrected], candles["close"][place]) == (111.0, second(CORRECTED).close)


def test_what_is_chosen_stands_in_the_address(visit: Visit, address: str) -> None:
    visit.page.goto(f"{address}/symbol/AAPL?theme=dark")
    wait_for(visit, 100, "start", "mark_at")
    visit.page.get_by_text("1 min", exact=True).click()
    visit.page.get_by_text("1 hour", exact=True).click()
    link = f"{address}/symbol/AAPL?theme=dark&width=1+min&span=1+hour"
    expect(visit.page).to_have_url(link, timeout=PATIENCE_MS)
    visit.page.reload()
    starts = wait_for(visit, SECONDS // 60, "start", "mark_at")["start"]
    assert {later - earlier for earlier, later in pairwise(starts)} == {60_000}
    expect(visit.page.get_by_text("AAPL 1")).to_be_visible(timeout=PATIENCE_MS)
