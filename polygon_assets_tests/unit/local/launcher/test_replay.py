"""The options of a replay, and the days that are refused before any server starts."""

import datetime as dt
from pathlib import Path

import pytest

from polygon_assets.defs.graph import partitions
from polygon_assets.local.launcher import replay
from polygon_assets.local.launcher.replay import (
    ReplayError,
    dagster_home,
    refuse_unprovable,
    replay_start,
)
from polygon_assets.local.launcher.servers import embedded_servers

TODAY = dt.date(2026, 11, 27)


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ((), None),
        (("--tickers", "300"), None),
        (("--replay", "2026-11-20"), "2026-11-20T04:00"),
        (("--replay", "2026-11-20", "--replay-from", "15:50", "--speed", "30"), "2026-11-20T15:50"),
        (("--replay-from", "00:00", "--replay", "2026-11-27"), "2026-11-27T00:00"),
    ],
)
def test_a_replay_begins_at_the_time_of_its_options(
    options: tuple[str, ...], begins: str | None
) -> None:
    start = replay_start(options)
    assert (start.isoformat("T", "minutes") if start else None) == begins
    refuse_unprovable(options, TODAY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--replay", "2025-12-31"),
            "2025-12-31: days before 2026-01-02 have no partition; "
            "choose a trading day from 2026-01-02 on",
        ),
        (("--replay", "1990-01-02"), "1990-01-02: days before 2026-01-02 have no partition"),
        (("--replay", "2026-11-30"), "2026-11-30: partitions end with today, 2026-11-27"),
        (
            ("--replay", "2026-11-26"),
            r"2026-11-26: US stocks do not trade on that day \(weekend or holiday\)",
        ),
        (("--replay", "2026-11-21"), "2026-11-21: US stocks do not trade"),
        (("--replay", "20.11.2026"), "--replay 20.11.2026: write it like 2026-11-20"),
        (
            ("--replay", "2026-11-20", "--replay-from", "quarter to four"),
            "--replay-from quarter to four: write it like 15:50",
        ),
        (
            ("--replay", "2026-11-20", "--replay-from", "16:00"),
            "--replay-from 16:00: 2026-11-20 closes at 16:00 New York",
        ),
        (
            ("--replay", "2026-11-27", "--replay-from", "13:30"),
            "--replay-from 13:30: 2026-11-27 closes at 13:00 New York",
        ),
    ],
)
def test_a_day_that_the_pipeline_could_not_close_and_compare_is_refused(
    options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ReplayError, match=message):
        refuse_unprovable(options, TODAY)


def test_the_first_day_is_the_first_day_of_the_partitions() -> None:
    assert replay.FIRST_DAY == partitions.FIRST_DAY


def test_a_replay_uses_the_nyse_calendar_and_one_day_of_history() -> None:
    exchange = embedded_servers(("--replay", "2026-11-20", "--replay-from", "15:50"))[0]
    variables = exchange.variables(1)
    assert variables["MARKET_CALENDAR"] == "NYSE"
    assert variables["MARKET_REPLAY"] == "2026-11-20T15:50"
    assert variables["DAILY_HISTORY_DAYS"] == "1"
    command = exchange.command(1, Path())
    assert command[command.index("--calendar") + 1] == "NYSE"
    assert "--no-earlier-trades" in command


def test_a_live_market_has_no_replay() -> None:
    exchange = embedded_servers()[0]
    assert exchange.variables(1)["MARKET_CALENDAR"] == "24/7"
    assert "MARKET_REPLAY" not in exchange.variables(1)
    assert "--no-earlier-trades" not in exchange.command(1, Path())


def test_a_replay_stores_its_runs_apart_from_those_of_the_live_market(tmp_path: Path) -> None:
    project = Path(__file__).parents[4]
    home = dagster_home(project, tmp_path)
    written = (home / "dagster.yaml").read_text()
    assert ".local/dagster" not in written
    assert f"base_dir: {home.resolve()}/storage" in written
