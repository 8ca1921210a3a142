"""Commands without settings and without a stack: each names what is missing and the cure.

Commands beside a running stack belong to the test of what they do.
"""

from pathlib import Path

import pytest

from polygon_assets.messages import PROGRAMS
from polygon_assets_tests.processes.dev_process import run_cli


def test_without_any_setting_the_doctor_names_each_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # in a folder with a running stack, the doctor would check that one
    report = run_cli("doctor")
    assert report.returncode == 1
    for word in (
        "POLYGON_API_KEY is not set",
        "KAFKA_BOOTSTRAP_SERVERS is not set",
        "CLICKHOUSE_HOST is not set",
    ):
        assert word in report.stdout


def test_a_program_without_settings_ends_with_exit_code_12() -> None:
    for name in PROGRAMS:
        ended = run_cli("stream", name)
        assert ended.returncode == 12
        assert "KAFKA_BOOTSTRAP_SERVERS" in ended.stderr


def test_stack_env_without_a_stack_fails_with_a_sentence(tmp_path: Path) -> None:
    answer = run_cli("stack", "env", "--data", str(tmp_path))
    assert answer.returncode == 1
    assert "no stack is running" in answer.stderr


@pytest.mark.parametrize("below", ["/proc", "a file"], ids=["read-only", "a file in the way"])
def test_dev_in_a_folder_that_cannot_be_written_names_it_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    data = Path(below) / "polygon_assets"
    answer = run_cli("dev", "--data", str(data))
    assert answer.returncode == 1
    assert f"{data} cannot be written (" in answer.stderr
    assert "name another folder with --data" in answer.stderr
    assert "Traceback" not in answer.stderr
