"""A producer that is really killed, as a visitor sees it: silence, a gap, filled and verified."""

import datetime as dt
from contextlib import closing

import pytest
from playwright.sync_api import expect

from polygon_assets.clients import clickhouse
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.gap_filling.record import record
from polygon_assets.inspection import tables
from polygon_assets.market_clock import WALL_CLOCK, calendar_of
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.browser.conftest import Visit
from polygon_assets_tests.processes import live_market
from polygon_assets_tests.processes.conftest import live, programs, settings, stack, truth
from polygon_assets_tests.processes.harness import Programs, eventually
from polygon_assets_tests.processes.live_market import SYMBOLS, Live

__all__ = ["live", "programs", "settings", "stack", "truth"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SERVERS = ("exchange", "kafka", "clickhouse", "s3")
EXCHANGE_OPTIONS = (*live_market.EXCHANGE_OPTIONS, "--hold-seconds", "2")
"""The vendor's hold: with a shorter one silence would be noticed sooner than in production."""
NOTICED_WITHIN_MS = 7_000
"""On a quiet machine 3 to 5 s; here a browser and seven other processes share two cores."""
PATIENCE_MS = 30_000


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def market_rows(settings: Settings) -> int:
    return tables.tables(settings)["market.stock_aggregates"].rows


def recorded(settings: Settings) -> GapEntry:
    """The gap that the crash left, taken into the ledger as the sensor does."""
    days = [calendar_of(settings).day_of(now())]
    [entry] = eventually(
        lambda: record(settings, calendar_of(settings), WALL_CLOCK, days, now()), "a gap", 30
    )
    eventually(lambda: now() > entry.until + dt.timedelta(seconds=5), "REST has its seconds")
    return entry


def test_a_killed_producer_is_noticed_and_its_gap_turns_verified(
    visit: Visit, address: str, live: Live, programs: Programs, settings: Settings
) -> None:
    producer = live.start(*SYMBOLS)
    for name in ("filter", "sink"):
        programs.start(name)
    visit.page.goto(f"{address}/trust")
    silence = visit.page.get_by_text("no new second of any symbol for")
    expect(visit.page.get_by_text("no gap", exact=False).first).to_be_visible(timeout=PATIENCE_MS)
    rows_before = market_rows(settings)
    eventually(lambda: market_rows(settings) > rows_before, "seconds are stored")
    expect(silence).to_be_hidden(timeout=PATIENCE_MS)

    producer.kill()
    expect(silence).to_be_visible(timeout=NOTICED_WITHIN_MS)

    live.start(*SYMBOLS)
    expect(silence).to_be_hidden(timeout=PATIENCE_MS)
    entry = recorded(settings)
    ledger = visit.page.get_by_label("Gap ledger")
    expect(ledger.get_by_text("open")).to_be_visible(timeout=PATIENCE_MS)
    with (
        closing(clickhouse.connect(settings)) as client,
        closing(GapFiller(settings, lambda _line: None)) as filler,
    ):
        filled = filler.fill(entry, now())
        assert filled.rows_added > 0
        gap_ledger.store(client, [filled], now())
        expect(ledger.get_by_text("filled")).to_be_visible(timeout=PATIENCE_MS)
        verified = filler.fill(filled, filled.verify_after or now())
        gap_ledger.store(client, [verified], now())
        expect(ledger.get_by_text("verified")).to_be_visible(timeout=PATIENCE_MS)
    expect(ledger.get_by_text(f"{filled.rows_added:,}", exact=True)).to_be_visible()
