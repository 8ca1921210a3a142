"""Which endpoints `status` and `doctor` look at, and in which folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from polygon_assets.cli import main
from polygon_assets.commands.endpoints import DATA_VARIABLE, read_endpoints
from polygon_assets.local.launcher import state

VARIABLES = {"CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": "18123"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _environment_is_restored() -> Iterator[None]:
    """Where a local stack is used, production's variables leave this process."""
    with patch.dict(os.environ):
        yield


def running_stack(folder: Path) -> Iterator[Path]:
    """What a running stack leaves in its folder, with one restart of ClickHouse."""
    lock = state.lock(folder)
    state.write(folder, {"environment": VARIABLES, "restarts": {"clickhouse": 1}})
    yield folder
    lock.close()


@pytest.fixture
def local() -> Iterator[Path]:
    yield from running_stack(Path(".local"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    yield from running_stack(tmp_path / "else where")


def test_a_stack_of_the_folder_is_used_unless_the_environment_names_an_endpoint(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, folder = read_endpoints()
    assert (settings.clickhouse_port, folder) == (18123, local)
    assert f"using the stack that runs in {local.resolve()}" in capsys.readouterr().err
    monkeypatch.setenv("CLICKHOUSE_HOST", "clickhouse.example.com")
    settings, folder = read_endpoints()
    assert (settings.clickhouse_host, folder) == ("clickhouse.example.com", None)
    assert capsys.readouterr().err == "using the endpoints that the environment names\n"


@pytest.mark.usefixtures("local")
def test_the_variables_of_a_running_stack_lead_to_its_folder_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert read_endpoints()[1] == Path(".local")
    assert f"the stack that runs in {Path('.local').resolve()}" in capsys.readouterr().err


def test_stack_env_leads_to_a_folder_elsewhere(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = CliRunner().invoke(main, ["stack", "env", "--data", str(elsewhere)]).output
    assert f"export {DATA_VARIABLE}='{elsewhere}'" in printed
    for name, value in {**VARIABLES, DATA_VARIABLE: str(elsewhere)}.items():
        monkeypatch.setenv(name, value)
    assert read_endpoints()[1] == elsewhere
    monkeypatch.setenv("CLICKHOUSE_PORT", "9")
    assert read_endpoints()[1] is None


@pytest.mark.parametrize("command", [["doctor"], ["status"], ["stack", "env"]])
def test_a_file_in_place_of_the_folder_is_a_sentence(command: list[str]) -> None:
    Path(".local").touch()
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert ".local" in answer.output
