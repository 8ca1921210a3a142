"""`polygon-assets dev`: all servers start, the market streams into ClickHouse, Ctrl-C stops all."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from polygon_assets import market
from polygon_assets.messages import PROGRAMS
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.dev_process import (
    COMMAND,
    START_SECONDS,
    address_of,
    environment_of,
    run_cli,
    running_dev,
    start_dev,
    status_of,
    wait_until_healthy,
)
from polygon_assets_tests.processes.harness import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SECRET = "-----BEGIN PRIVATE KEY-----production's key"
PRODUCTION = {
    "HTTP_PROXY": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
    "AWS_PROFILE": "nobody",
    "AWS_SESSION_TOKEN": "production's token",
    "SNOWFLAKE_PRIVATE_KEY": SECRET,
    "SNOWFLAKE_ROLE": "ACCOUNTADMIN",
    "ALERT_WEBHOOK_URL": "http://127.0.0.1:1/production",
    "KAFKA_SASL_PASSWORD": "production's password",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "DAGSTER_HOME": "/nowhere",
}
"""Variables of a shell set up for production: none may reach the embedded stack."""


DEMONSTRATION_SECONDS = 500.0


@pytest.fixture(scope="module")
def development(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A running `polygon-assets dev` with its data, Dagster's too, in a temporary folder."""
    data = tmp_path_factory.mktemp("dev")
    options = ("--tickers", "100", "--demonstration")
    with running_dev(data, *options, environment=os.environ | PRODUCTION) as process:
        yield process, data


def everything_below(folder: Path) -> Iterator[Path]:
    """Files and folders, some of which may be gone: ClickHouse merges parts meanwhile."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def test_one_command_brings_a_trading_market_into_clickhouse(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, data = development
    wait_until_healthy(data)
    assert process.poll() is None, (data / "dev.log").read_text()
    facts = status_of(data)
    assert facts["tables"]["market.stock_aggregates"]["rows"] > 0
    assert {name: stream["state"] for name, stream in facts["streams"].items()} == dict.fromkeys(
        PROGRAMS, "streaming"
    )
    assert set(facts["services"]) == {
        "exchange",
        "kafka",
        "clickhouse",
        "s3",
        "snowflake",
        "airbyte",
    }
    assert requests.get(f"{address_of(data)}/server_info", timeout=10).status_code == 200
    report = run_cli("doctor", **environment_of(data))
    assert report.returncode == 0, report.stdout
    assert "MISSING" not in report.stdout
    check = run_cli(
        "subscriptions",
        "check",
        str(Path(__file__).parents[2] / "polygon_assets/local/sample_subscriptions.csv"),
        **environment_of(data),
    )
    assert "52 channels" in check.stdout


def test_what_it_prints_can_be_pasted_into_another_shell(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    _, data = development
    eventually(
        lambda: "in another shell: " in (data / "dev.log").read_text(),
        "the first rows",
        START_SECONDS,
    )
    [command] = re.findall("in another shell: (.*)", (data / "dev.log").read_text())
    pasted = subprocess.run(
        ["sh", "-c", command], cwd="/", capture_output=True, text=True, timeout=180, check=False
    )
    assert "producer" in pasted.stdout, pasted
    addresses = dict(re.findall(r"^  (\w+) +(\S+)$", (data / "dev.log").read_text(), re.MULTILINE))
    assert addresses.keys() == json.loads((data / "stack.json").read_text())["servers"].keys()
    for name, address in addresses.items():
        host, port = address.removeprefix("http://").split(":")
        socket.create_connection((host, int(port)), timeout=10).close()
        assert address.startswith("http://") is (name != "kafka")


def test_no_production_variable_of_the_shell_reaches_the_stack(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, data = development
    wait_until_healthy(data)
    for file in everything_below(data):
        with suppress(FileNotFoundError):
            if file.is_file() and file.stat().st_size < 10_000_000:
                assert SECRET.encode() not in file.read_bytes(), file
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            environment, arguments = child.environ(), child.cmdline()
        except psutil.Error:
            continue  # the child has ended meanwhile
        assert [name for name in PRODUCTION if environment.get(name) == PRODUCTION[name]] == [], (
            arguments
        )
        assert not {"--password", "--client-secret", "--api-key"} & set(arguments)
    lines = run_cli("stack", "env", "--data", str(data), **PRODUCTION).stdout.splitlines()
    assert {
        f"unset {name}"
        for name in ("HTTP_PROXY", "https_proxy", "AWS_PROFILE", "SNOWFLAKE_PRIVATE_KEY")
    } <= set(lines)
    script = f'eval "$({" ".join(COMMAND)} stack env --data {data})" && {" ".join(COMMAND)} doctor'
    report = subprocess.run(
        ["sh", "-c", script],
        env=os.environ | PRODUCTION,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert report.returncode == 0, report.stdout + report.stderr


def test_others_on_the_machine_can_read_no_file_and_reach_no_port_from_outside(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, data = development
    wait_until_healthy(data)
    made_by_the_test = {data / "home", data / "dev.log", *(data / "home").glob("*.yaml")}
    for path in {data, *everything_below(data)} - made_by_the_test:
        with suppress(FileNotFoundError):
            assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            for connection in child.net_connections(kind="inet"):
                assert connection.status != psutil.CONN_LISTEN or connection.laddr.ip in (
                    "127.0.0.1",
                    "::1",
                ), (child.cmdline(), connection.laddr)


def test_a_newcomer_sees_a_day_whose_gap_was_filled_closed_and_compared(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    _, data = development
    ends = ("a demonstration of a recorded day", "the demonstration of")
    eventually(
        lambda: any(end in (data / "dev.log").read_text() for end in ends),
        "the demonstration's day is compared",
        DEMONSTRATION_SECONDS,
    )
    log = (data / "dev.log").read_text()
    assert "compared with the daily bars: 3 match" in log, log
    variables = {name.lower(): value for name, value in environment_of(data).items()}
    with market.connect(Settings.model_validate(variables)) as connection:
        gaps = market.gaps(connection=connection).to_pylist()
    (gap,) = (gap for gap in gaps if gap["gap_id"].startswith("demonstration"))
    assert gap["state"] == "verified"
    assert gap["rows_added"] > 800


def test_a_second_stack_on_the_same_data_is_refused_with_a_sentence(
    development: tuple[subprocess.Popen[bytes], Path],
) -> None:
    _, data = development
    eventually((data / "stack.json").exists, "the first one runs", START_SECONDS)
    second = run_cli("stack", "up", "--data", str(data))
    assert second.returncode == 1
    assert "a stack is running on" in second.stderr


def test_the_third_death_of_a_server_ends_it_at_once_with_what_to_do(tmp_path: Path) -> None:
    process = start_dev(tmp_path, "--tickers", "20")
    log = tmp_path / "dev.log"

    def kill() -> None:
        server = json.loads((tmp_path / "stack.json").read_text())["servers"]["s3"]
        psutil.Process(server["pid"]).kill()

    def has_come_back(deaths: int) -> bool:
        return log.read_text().count("s3 is back after") == deaths

    try:
        eventually(lambda: "logs: " in log.read_text(), "all servers run", START_SECONDS)
        for death in (1, 2):
            kill()
            eventually(partial(has_come_back, death), f"back after death {death}", START_SECONDS)
        children = psutil.Process(process.pid).children(recursive=True)
        kill()
        assert process.wait(60) == 1
    finally:
        process.send_signal(signal.SIGINT)  # where it still runs; killed, it would leave servers
        process.wait(60)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    end = log.read_text().split("s3 is back after")[-1]
    assert "s3 died (exit code -9), 3 times within 5 minutes; it is not started again" in end
    assert "Free memory or disk if the log names them; otherwise `make clean`" in end
    assert "Traceback" not in end
