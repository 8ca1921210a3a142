"""A running `polygon-assets dev` for longer: pages keep up, days load, and servers may die.

What `dev` shows in its first minutes belongs to test_dev.
"""

import datetime as dt
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from polygon_assets.clients import snowflake
from polygon_assets.settings import Settings
from polygon_assets.topics import RAW_TOPIC
from polygon_assets_tests.processes.dev_process import (
    START_SECONDS,
    ask_the_ui,
    environment_of,
    run_cli,
    running_dev,
    status_of,
    wait_until_healthy,
)
from polygon_assets_tests.processes.harness import eventually
from scripts import headless_browser

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def development(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A running `polygon-assets dev` with its data, Dagster's too, in a temporary folder."""
    data = tmp_path_factory.mktemp("dev")
    with running_dev(data, "--tickers", "300") as process:
        yield process, data


def code_server_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The `dagster api grpc` process below `dev`; children may end while they are read."""

    def arguments(child: psutil.Process) -> list[str]:
        try:
            return child.cmdline()
        except psutil.Error:
            return []

    [code_server] = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if {"api", "grpc"} <= set(arguments(child))
    ]
    return code_server


OVERVIEW = """
query ($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 1) { metadataEntries {
    label ... on IntMetadataEntry { intValue } } } } } }"""


def test_the_overviews_of_the_streaming_assets_follow_their_numbers(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    """The overview shows the newest materialization, which a session must not write only once."""
    _, data = development
    wait_until_healthy(data)

    def shown(path: list[str], label: str) -> int:
        asset = ask_the_ui(data, OVERVIEW, key={"path": path})
        values = [
            entry["intValue"]
            for materialization in asset["assetMaterializations"]
            for entry in materialization["metadataEntries"]
            if entry["label"] == label
        ]
        return int(values[0]) if values else 0

    # Side by side, because each new value takes minutes.
    assets = ((["polygon", "websocket"], "read"), (["kafka", RAW_TOPIC], "forwarded"))
    eventually(lambda: all(shown(*asset) for asset in assets), "first values", START_SECONDS)
    first = [shown(*asset) for asset in assets]
    eventually(
        lambda: all(shown(*asset) > value for asset, value in zip(assets, first, strict=True)),
        "newer values",
        START_SECONDS,
    )


@pytest.mark.skipif(not headless_browser.installed(), reason="no Chromium is installed")
def test_the_printed_link_opens_the_graph_with_every_group_unfolded(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    _, data = development
    wait_until_healthy(data)
    [link] = re.findall("lineage: (.*)", (data / "dev.log").read_text())
    # The UI draws only what is in the window, and shortens long names.
    page = headless_browser.visit(link, "--dump-dom", "--window-size=1700,1750")
    one_of_each_group = {"websocket", "stock_aggregates", "fact_daily_trading"}
    assert {name for name in one_of_each_group if name not in page} == set()


def test_the_history_loads_up_to_the_marts_without_help(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    _, data = development

    def rows(table: str) -> int:
        facts = status_of(data)
        return int(facts["tables"].get(table, {"rows": 0})["rows"]) if facts else 0

    eventually(
        lambda: rows("MARTS.FACT_DAILY_TRADING") >= 10 * 250,
        "the fact table has ten days of 300 tickers",
        2 * START_SECONDS,
    )
    # Automation builds the other table by itself, and may be later.
    eventually(
        lambda: rows("MARTS.DIM_TICKER") >= 250, "the dimension has 300 tickers", START_SECONDS
    )
    assert rows("RAW.DAILY_OPEN_CLOSE") > 0


LAUNCH_BACKFILL = """
mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } }
}"""
BACKFILL_STATUS = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status error { message } } }
}"""


@pytest.mark.parametrize(
    ("tables", "ages"),
    [(("grouped_daily", "daily_open_close"), (15, 14, 13)), (("grouped_daily",), (18, 17, 16))],
    ids=["both tables", "one alone"],
)
def test_a_backfill_launched_in_the_ui_loads_days_before_the_history(
    development: tuple[subprocess.Popen[bytes], Path],
    tables: tuple[str, ...],
    ages: tuple[int, ...],
) -> None:
    _, data = development
    wait_until_healthy(data)
    days = [(dt.datetime.now(dt.UTC) - dt.timedelta(days=ago)).date().isoformat() for ago in ages]
    keys = [["snowflake", "raw", table] for table in tables]
    parameters = {"assetSelection": [{"path": key} for key in keys], "partitionNames": days}
    launched = ask_the_ui(data, LAUNCH_BACKFILL, parameters=parameters)

    def status() -> str:
        backfill = ask_the_ui(data, BACKFILL_STATUS, id=launched["backfillId"])
        assert "FAILED" not in backfill["status"], backfill
        return str(backfill["status"])

    eventually(lambda: status() == "COMPLETED_SUCCESS", "the backfill is done", 2 * START_SECONDS)
    settings = Settings.model_validate(
        {name.lower(): value for name, value in environment_of(data).items()}
    )
    with closing(snowflake.connect(settings)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT date, count(*) > 250, count(*) = count(DISTINCT ticker) "
            "FROM RAW.GROUPED_DAILY WHERE date BETWEEN %s AND %s GROUP BY 1 ORDER BY 1",
            (days[0], days[-1]),
        )
        assert [(str(day), *checks) for day, *checks in cursor.fetchall()] == [
            (day, True, True) for day in days
        ]


def row_count(data: Path) -> int:
    """Rows of the streamed table; 0 while ClickHouse is away."""
    tables = status_of(data)["tables"]
    return int(tables["market.stock_aggregates"]["rows"]) if tables else 0


def open_gaps(data: Path) -> list[dict[str, Any]]:
    """The gaps that are neither filled nor left to a person, as the long time before the start."""
    answer = run_cli("gaps", "--json", **environment_of(data))
    assert answer.returncode == 0, answer.stderr
    return [
        gap
        for gap in json.loads(answer.stdout)
        if gap["state"] not in ("filled", "verified") and not gap["note"].startswith("waits")
    ]


@pytest.mark.parametrize("name", ["clickhouse", "kafka"])  # `make chaos` kills the others too
def test_a_server_may_die_while_rows_stream_and_what_it_cost_is_filled(
    development: tuple[subprocess.Popen[bytes], Path], name: str
) -> None:
    _, data = development
    log = data / "dev.log"
    eventually(lambda: status_of(data).get("healthy"), f"all is up before {name} dies", 200)
    before = row_count(data)
    server = json.loads((data / "stack.json").read_text())["servers"][name]
    psutil.Process(server["pid"]).kill()
    back = f"{name} is back after"
    eventually(lambda: back in log.read_text(), back, START_SECONDS)
    eventually(lambda: row_count(data) > before, f"rows arrive after the death of {name}", 200)
    eventually(lambda: not open_gaps(data), f"the gaps of {name} are filled", 500)


def test_a_killed_code_server_is_reloaded_with_a_line_and_the_streams_restart(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, data = development
    wait_until_healthy(data)
    before = status_of(data)["streams"]["producer"]["restarts"]
    code_server_of(process).kill()
    log = data / "dev.log"
    eventually(
        lambda: "dagster: code location polygon_assets was in error" in log.read_text(),
        "the terminal reports the reload",
        START_SECONDS,
    )

    def restarted() -> bool:
        facts = status_of(data)
        return bool(facts.get("healthy")) and facts["streams"]["producer"]["restarts"] > before

    eventually(restarted, "the streams are back", START_SECONDS)
