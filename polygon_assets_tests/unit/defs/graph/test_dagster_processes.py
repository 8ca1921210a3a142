"""The line of Dagster processes above a process, over a made-up /proc."""

from pathlib import Path

import pytest

from polygon_assets.defs.graph import dagster_processes
from polygon_assets.defs.graph.dagster_processes import Ancestor, dagster_above, is_intact


@pytest.fixture(autouse=True)
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """shell 10 > dagster dev 20 > code server 30 > gRPC server 40 > run worker 50, each started at its number."""
    monkeypatch.setattr(dagster_processes, "PROC", tmp_path)
    process(tmp_path, 10, 1, "bash")
    process(tmp_path, 20, 10, "/venv/bin/python", "/venv/bin/dagster", "dev")
    process(tmp_path, 30, 20, "/venv/bin/python", "-m", "dagster", "code-server", "start")
    process(tmp_path, 40, 30, "/venv/bin/python", "-m", "dagster", "api", "grpc")
    process(
        tmp_path, 50, 40, "/venv/bin/python", "-c", "from multiprocessing.spawn import spawn_main"
    )
    return tmp_path


def process(
    proc: Path, pid: int, parent: int, *command: str, state: str = "S", started: int | None = None
) -> None:
    fields = [state, str(parent), *["0"] * 17, str(started or pid)]
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(f"{pid} (a ) name) {' '.join(fields)} 0 0")
    (proc / str(pid) / "cmdline").write_bytes(b"\0".join(part.encode() for part in command))


def test_the_line_ends_below_the_shell() -> None:
    assert dagster_above(50) == (Ancestor(40, 40), Ancestor(30, 30), Ancestor(20, 20))
    assert is_intact(dagster_above(50))


def test_a_shell_that_ends_changes_nothing(proc: Path) -> None:
    line = dagster_above(50)
    (proc / "10" / "stat").unlink()
    assert is_intact(line)


def test_any_dagster_process_that_ends_breaks_it(proc: Path) -> None:
    line = dagster_above(50)
    (proc / "20" / "stat").unlink()
    assert not is_intact(line)


def test_a_zombie_has_ended(proc: Path) -> None:
    line = dagster_above(50)
    process(proc, 20, 10, state="Z")
    assert not is_intact(line)


def test_another_process_with_the_same_number_is_not_the_one_it_was(proc: Path) -> None:
    line = dagster_above(50)
    process(proc, 20, 10, "dagster", started=99)
    assert not is_intact(line)


def test_without_proc_there_is_nothing_to_watch(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_processes, "PROC", proc / "none")
    assert dagster_above(50) == ()
    assert is_intact(())
