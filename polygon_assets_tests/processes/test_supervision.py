"""A supervised program under a real Dagster instance and code server: no crash orphans it.

The supervisor's decisions belong to the unit tests.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._grpc.client import DagsterGrpcClient

from polygon_assets_tests.processes.harness import eventually

ORPHAN_SECONDS = 10.0
STAND_IN = "import subprocess, sys; subprocess.run(sys.argv[2:])"
"""Instead of `dagster dev`: a script of that name, whose child is the code server."""
JOB = "run_filter"


class Location:
    """A code server and the runs launched through it; `under_dagster_dev` adds a parent process."""

    def __init__(self, home: Path, *, under_dagster_dev: bool) -> None:
        self.notes = home / "notes"
        self.notes.mkdir()
        self.port = _free_port()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KAFKA_", "DAGSTER_"))
        }
        environment |= {
            "DAGSTER_HOME": str(home),
            "FAKE_PROGRAM_NOTES": str(self.notes),
            "MARKET_CALENDAR": "24/7",
        }
        module = "polygon_assets_tests.processes.supervised_location"
        command = [
            *(sys.executable, "-m", "dagster", "api", "grpc", "-m", module),
            *("-h", "127.0.0.1", "-p", str(self.port)),
            *("--heartbeat", "--heartbeat-timeout", "600"),
        ]
        (home / "dagster").write_text(STAND_IN)
        stand_in = [sys.executable, str(home / "dagster"), "dev"] if under_dagster_dev else []
        self.server = subprocess.Popen([*stand_in, *command], env=environment)
        eventually(self._answers, "the code server answers")
        self.instance = dg.DagsterInstance.from_config(str(home))

    def _answers(self) -> bool:
        assert self.server.poll() is None, "the code server ended"
        try:
            return bool(DagsterGrpcClient(port=self.port, host="127.0.0.1").ping("hello"))
        except Exception:  # noqa: BLE001  # the client raises many types until the server is up
            return False

    def launch(self) -> tuple[str, int]:
        """Launch a run and wait until its program has started; the run's and the process's id."""
        before = set(self.notes.glob("*.started"))
        with WorkspaceProcessContext(
            self.instance, GrpcServerTarget("127.0.0.1", self.port, None, "test")
        ) as workspace:
            context = workspace.create_request_context()
            (location,) = context.code_locations
            (repository,) = location.get_repositories().values()
            job: Any = repository.get_full_job(JOB)
            run = self.instance.create_run_for_job(
                build_job(),
                remote_job_origin=job.get_remote_origin(),
                job_code_origin=job.get_python_origin(),
            )
            self.instance.launch_run(run.run_id, context)
            (started,) = eventually(
                lambda: set(self.notes.glob("*.started")) - before, "the program starts"
            )
        return run.run_id, int(started.stem)

    def drained(self, pid: int) -> bool:
        return (self.notes / f"{pid}.drained").exists()

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def close(self) -> None:
        self.instance.dispose()
        if self.server.poll() is None:
            self.server.terminate()
            self.server.wait(20)


def build_job() -> dg.JobDefinition:
    from polygon_assets.defs.graph.resources import Environment, StreamPrograms
    from polygon_assets.defs.stream.jobs import stream_job

    return dg.Definitions(
        jobs=[stream_job("filter")],
        resources={"environment": Environment(), "programs": StreamPrograms()},
    ).resolve_job_def(JOB)


@contextmanager
def location(home: Path, *, under_dagster_dev: bool = False) -> Iterator[Location]:
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    running = Location(home, under_dagster_dev=under_dagster_dev)
    try:
        yield running
    finally:
        running.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


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
