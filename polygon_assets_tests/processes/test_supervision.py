"""A supervised program under a real Dagster instance and code server: no crash orphans it.

The supervisor's decisions belong to the unit tests.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest

from polygon_assets_tests.processes.code_server import CodeServer
from polygon_assets_tests.processes.harness import eventually

ORPHAN_SECONDS = 10.0
STAND_IN = "import subprocess, sys; subprocess.run(sys.argv[2:])"
"""Instead of `dagster dev`: a script of that name, whose child is the code server."""


class Location(CodeServer):
    """The fake programs' code server; `under_dagster_dev` adds a parent process."""

    def __init__(self, home: Path, *, under_dagster_dev: bool) -> None:
        self.notes = home / "notes"
        self.notes.mkdir()
        (home / "dagster").write_text(STAND_IN)
        super().__init__(
            home,
            "polygon_assets_tests.processes.supervised_location",
            {"FAKE_PROGRAM_NOTES": str(self.notes), "MARKET_CALENDAR": "24/7"},
            parent=[sys.executable, str(home / "dagster"), "dev"] if under_dagster_dev else [],
        )

    def launch(self) -> tuple[str, int]:
        """Launch a run and wait until its program has started; the run's and the process's id."""
        before = set(self.notes.glob("*.started"))
        run_id = self.launch_run()
        (started,) = eventually(
            lambda: set(self.notes.glob("*.started")) - before, "the program starts"
        )
        return run_id, int(started.stem)

    def drained(self, pid: int) -> bool:
        return (self.notes / f"{pid}.drained").exists()


@contextmanager
def location(home: Path, *, under_dagster_dev: bool = False) -> Iterator[Location]:
    running = Location(home, under_dagster_dev=under_dagster_dev)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    with location(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_a_cancelled_run_lets_its_program_drain_and_its_lines_are_in_the_compute_log(
    shared: Location,
) -> None:
    run_id, pid = shared.launch()
    assert shared.instance.run_launcher.terminate(run_id)
    eventually(
        lambda: shared.status(run_id) is dg.DagsterRunStatus.CANCELED, "the run is cancelled"
    )
    assert shared.drained(pid)
    assert not psutil.pid_exists(pid)
    logs = "".join(
        path.read_text()
        for path in Path(shared.instance.root_directory).glob(f"storage/{run_id}/compute_logs/*")
    )
    assert "the fake filter prints" in logs


@pytest.mark.long
def test_kill_9_of_the_run_worker_leaves_no_orphan_and_marks_the_run_as_failed(
    shared: Location,
) -> None:
    run_id, pid = shared.launch()
    worker = psutil.Process(pid).ppid()
    assert worker != shared.server.pid
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid), "the program is gone", ORPHAN_SECONDS)
    assert shared.drained(pid)
    eventually(
        lambda: shared.status(run_id) is dg.DagsterRunStatus.FAILURE,
        "the run is failed",
        ORPHAN_SECONDS,
    )


def test_further_signals_do_not_cut_the_draining_short(shared: Location) -> None:
    run_id, pid = shared.launch()
    worker = psutil.Process(pid).ppid()
    for _ in range(50):
        os.kill(worker, signal.SIGTERM)
        time.sleep(0.002)
    eventually(lambda: not psutil.pid_exists(pid), "the program is gone", ORPHAN_SECONDS)
    assert shared.drained(pid)
    eventually(
        lambda: shared.status(run_id) is dg.DagsterRunStatus.FAILURE,
        "the run is failed",
        ORPHAN_SECONDS,
    )


@pytest.mark.long
def test_kill_9_of_the_code_server_leaves_no_orphan(tmp_path: Path) -> None:
    with location(tmp_path) as own:
        run_id, pid = own.launch()
        worker = psutil.Process(pid).ppid()
        own.server.kill()
        eventually(
            lambda: not psutil.pid_exists(pid) and not psutil.pid_exists(worker),
            "both are gone",
            ORPHAN_SECONDS,
        )
        assert own.drained(pid)
        assert own.status(run_id) is dg.DagsterRunStatus.FAILURE


@pytest.mark.long
def test_kill_9_of_dagster_dev_ends_the_program_although_the_code_server_lives_on(
    tmp_path: Path,
) -> None:
    with location(tmp_path, under_dagster_dev=True) as own:
        (code_server,) = psutil.Process(own.server.pid).children()
        run_id, pid = own.launch()
        own.server.kill()
        own.server.wait()
        try:
            eventually(lambda: not psutil.pid_exists(pid), "the program is gone", ORPHAN_SECONDS)
            assert own.drained(pid)
            eventually(
                lambda: own.status(run_id) is dg.DagsterRunStatus.SUCCESS,
                "the run ends by itself",
                ORPHAN_SECONDS,
            )
        finally:
            code_server.kill()
