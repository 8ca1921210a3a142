"""A Dagster code server in a process of its own, and runs launched through it.

Add what every test with a code server needs here; the location it serves, and what is expected of
a run, belong to the test.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._grpc.client import DagsterGrpcClient

from polygon_assets.defs.graph.resources import Environment, StreamPrograms
from polygon_assets.defs.stream.jobs import stream_job, stream_job_name
from polygon_assets.local.launcher.ports import free_port
from polygon_assets_tests.processes.harness import eventually


class CodeServer:
    """A code server, its instance in `home`, and runs of one program's job."""

    def __init__(
        self,
        home: Path,
        module: str,
        environment: Mapping[str, str],
        program: str = "filter",
        parent: Sequence[str] = (),
        *,
        instance: Mapping[str, Any] | None = None,
    ) -> None:
        """`parent` is a command that starts the code server as its child.

        `instance` are parts of the instance's file.
        """
        file = {"telemetry": {"enabled": False}, **(instance or {})}
        (home / "dagster.yaml").write_text(yaml.safe_dump(file))
        self.program = program
        self.port = free_port(0, set())
        command = [
            *(sys.executable, "-m", "dagster", "api", "grpc", "-m", module),
            *("-h", "127.0.0.1", "-p", str(self.port)),
            *("--heartbeat", "--heartbeat-timeout", "600"),
        ]
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KAFKA_", "DAGSTER_"))
        }
        self.server = subprocess.Popen(
            [*parent, *command], env=own | {"DAGSTER_HOME": str(home)} | dict(environment)
        )
        wait_until_answers(self.server, self.port)
        self.instance = dg.DagsterInstance.from_config(str(home))

    def launch_run(self) -> str:
        """Launch a run of the program's job; its id."""
        name = stream_job_name(self.program)
        with WorkspaceProcessContext(
            self.instance, GrpcServerTarget("127.0.0.1", self.port, None, "test")
        ) as workspace:
            context = workspace.create_request_context()
            (location,) = context.code_locations
            (repository,) = location.get_repositories().values()
            job: Any = repository.get_full_job(name)
            run = self.instance.create_run_for_job(
                _job(self.program),
                remote_job_origin=job.get_remote_origin(),
                job_code_origin=job.get_python_origin(),
            )
            self.instance.launch_run(run.run_id, context)
        return run.run_id

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def log(self, run_id: str) -> str:
        """Every message of the run's log."""
        return "\n".join(entry.message for entry in self.instance.all_logs(run_id))

    def close(self) -> None:
        self.instance.dispose()
        if self.server.poll() is None:
            self.server.terminate()
            self.server.wait(20)


def wait_until_answers(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the code server listens; fail when it ends."""

    def answers() -> bool:
        assert server.poll() is None, "the code server ended"
        try:
            return bool(DagsterGrpcClient(port=port, host="127.0.0.1").ping("hello"))
        except Exception:  # noqa: BLE001  # the client raises many types until the server is up
            return False

    eventually(answers, "the code server answers")


def _job(program: str) -> dg.JobDefinition:
    return dg.Definitions(
        jobs=[stream_job(program)],
        resources={"environment": Environment(), "programs": StreamPrograms()},
    ).resolve_job_def(stream_job_name(program))
