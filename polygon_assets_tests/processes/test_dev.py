"""The command a newcomer types: everything comes up, the market streams into ClickHouse, Ctrl-C leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from polygon_assets.local.ports import free_port
from polygon_assets_tests.processes.harness import eventually

COMMAND = [sys.executable, "-m", "polygon_assets.cli"]
MINUTES = 150.0
"""Seconds until Dagster has loaded, its sensors have ticked and three runs have started, on a machine busy with other tests."""


def ask(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run([*COMMAND, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False)


def environment_of(data: Path) -> dict[str, str]:
    """What `stack env` prints, as a shell would take it."""
    lines = ask("stack", "env", "--data", str(data)).stdout.splitlines()
    return dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A running `polygon-assets dev` with its data, Dagster's too, in a temporary folder."""
    data = tmp_path_factory.mktemp("dev")
    project = Path(__file__).parents[2]
    home = data / "home"
    home.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        (home / name).write_text((project / name).read_text().replace("working_directory: .", f"working_directory: {project}"))
    port = str(free_port(33000, set()))
    with (data / "dev.log").open("wb") as log:
        command = [*COMMAND, "dev", "--data", str(data), "--port", port, "--project", str(home), "--tickers", "300"]
        process = subprocess.Popen(command, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    yield process, data
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def picture(data: Path) -> dict[str, Any]:
    """What `status --json` prints."""
    answer = ask("status", "--json", **environment_of(data))
    facts: dict[str, Any] = json.loads(answer.stdout) if answer.stdout else {}
    assert not facts or answer.returncode == (0 if facts["healthy"] else 1)
    return facts


@pytest.mark.timeout(300)
def test_one_command_brings_a_trading_market_into_clickhouse(development: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, data = development
    log = data / "dev.log"

    def live() -> bool:
        assert process.poll() is None, log.read_text()
        facts = picture(data)
        return bool(facts.get("healthy")) and facts["tables"]["market.stock_aggregates"]["rows"] > 0

    eventually(live, f"healthy with rows; {log}", MINUTES)
    facts = picture(data)
    assert {name: stream["state"] for name, stream in facts["streams"].items()} == dict.fromkeys(
        ("producer", "filter", "sink"), "streaming"
    )
    assert set(facts["services"]) == {"exchange", "kafka", "clickhouse", "s3", "snowflake", "airbyte"}
    assert facts["gaps"]["filling"] == 0
    address = next(word for word in log.read_text().split() if word.startswith("http://127.0.0.1:33"))
    assert requests.get(f"{address}/server_info", timeout=10).status_code == 200
    report = ask("doctor", **environment_of(data))
    assert report.returncode == 0, report.stdout
    assert "MISSING" not in report.stdout
    check = ask(
        "subscriptions", "check", str(Path(__file__).parents[2] / "polygon_assets/local/sample_subscriptions.csv"), **environment_of(data)
    )
    assert "52 channels" in check.stdout


@pytest.mark.timeout(400)
def test_the_history_follows_by_itself_up_to_the_marts(development: tuple[subprocess.Popen[bytes], Path]) -> None:
    _, data = development

    def rows(table: str) -> int:
        facts = picture(data)
        return int(facts["tables"].get(table, {"rows": 0})["rows"]) if facts else 0

    eventually(lambda: rows("MARTS.FACT_DAILY_TRADING") >= 10 * 250, "ten days of 300 tickers are facts", 2 * MINUTES)
    assert rows("MARTS.DIM_TICKER") >= 250
    assert rows("RAW.DAILY_OPEN_CLOSE") > 0


def test_a_second_one_on_the_same_data_is_refused_with_a_sentence(development: tuple[subprocess.Popen[bytes], Path]) -> None:
    _, data = development
    eventually((data / "stack.json").exists, "the first one runs", MINUTES)
    second = ask("stack", "up", "--data", str(data))
    assert second.returncode == 1
    assert "a stack is running on" in second.stderr


def test_without_any_setting_the_doctor_names_each_cure() -> None:
    report = ask("doctor")
    assert report.returncode == 1
    for word in ("POLYGON_API_KEY is not set", "KAFKA_BOOTSTRAP_SERVERS is not set", "CLICKHOUSE_HOST is not set"):
        assert word in report.stdout


def test_a_program_without_settings_ends_with_its_own_code() -> None:
    for name in ("producer", "filter", "sink"):
        ended = ask("stream", name)
        assert ended.returncode == 12
        assert "KAFKA_BOOTSTRAP_SERVERS" in ended.stderr


def test_no_stack_is_said_in_a_sentence(tmp_path: Path) -> None:
    answer = ask("stack", "env", "--data", str(tmp_path))
    assert answer.returncode == 1
    assert "no stack is running" in answer.stderr
