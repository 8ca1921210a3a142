"""`polygon-assets dev --replay` streams a day from its first second, closes and compares it.

No step of that needs a person.
"""

import csv
import datetime as dt
import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from polygon_assets.inspection import warehouse
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.launcher.replay import FOLDER
from polygon_assets.local.launcher.state import read_environment
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.settings import Settings
from polygon_assets_tests import market_bars
from polygon_assets_tests.processes.dev_process import running_dev
from polygon_assets_tests.processes.harness import connect_clickhouse, eventually

DAY = dt.date(2026, 11, 20)
BEGINS = dt.datetime.combine(DAY, dt.time(15, 50), NEW_YORK)
TICKERS = 300
REPLAY = (
    "--replay",
    str(DAY),
    "--replay-from",
    f"{BEGINS:%H:%M}",
    "--speed",
    "400",
    "--tickers",
    str(TICKERS),
)
MINUTES = 60.0


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The running command and its data folder, which also has Dagster's data and dev.log."""
    with running_dev(tmp_path, *REPLAY) as process:
        yield process, tmp_path


def first_seconds(market: Market, symbols: list[str]) -> set[tuple[str, int]]:
    """Symbol and start of the seconds with trades in the replay's first minute.

    A minute, because a rarely traded symbol has no trade in most seconds.
    """
    begins = int(BEGINS.timestamp()) * 1000
    bars = (bar for symbol in symbols for bar in market_bars.seconds(market, symbol, DAY))
    return {
        (str(bar["symbol"]), int(bar["start_ms"]))
        for bar in bars
        if begins <= bar["start_ms"] < begins + 60_000
    }


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_replayed_day_is_closed_and_compared_by_itself(
    replay: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, data = replay

    def terminal() -> str:
        text = (data / "dev.log").read_text()
        assert process.poll() is None, text
        return " ".join(text.split())

    eventually(lambda: f"{DAY} is over" in terminal(), "the replayed day is over", 8 * MINUTES)
    eventually(
        lambda: f"{DAY} is closed and compared" in terminal(),
        "the replayed day is compared",
        10 * MINUTES,
    )
    settings = Settings.model_validate(
        {name.lower(): value for name, value in read_environment(data).items()}
    )
    verdicts = warehouse.verdicts(settings, DAY)
    assert verdicts.keys() == {"match"}, verdicts
    text = resources.files("polygon_assets.local").joinpath("sample_subscriptions.csv").read_text()
    symbols = [row["channel"].removeprefix("A.") for row in csv.DictReader(text.splitlines())]
    assert verdicts["match"] == len(symbols)
    expected = first_seconds(
        Market(tickers=TICKERS, calendar=MarketCalendar("NYSE"), begins=BEGINS), symbols
    )
    assert min(start for _, start in expected) == BEGINS.timestamp() * 1000
    with closing(connect_clickhouse(settings)) as client:
        rows = client.query(
            "SELECT symbol, toUnixTimestamp64Milli(start_timestamp) "
            "FROM market.stock_aggregates FINAL"
        ).result_rows
    stored = {
        (symbol, start) for symbol, start in rows if start < BEGINS.timestamp() * 1000 + 60_000
    }
    assert stored == expected
    assert (data / FOLDER / "clickhouse").exists()
    assert process.poll() is None, "the servers must stay up after the replay"
