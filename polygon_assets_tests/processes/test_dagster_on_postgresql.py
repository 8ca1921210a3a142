"""Dagster as a deployment runs it: deploy/dagster.yaml on PostgreSQL, two code servers, one daemon.

One code server serves the sink's supervision, with a program that only sleeps; the other a job.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import dagster as dg
import pytest
import yaml

from polygon_assets.defs.graph.resources import Environment, StreamPrograms
from polygon_assets.defs.stream.jobs import STREAM_JOBS, stream_job_name
from polygon_assets.defs.stream.sensors import stream_supervisor
from polygon_assets.local.launcher.environment import cleaned
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import running_stack
from polygon_assets_tests.processes.code_server import wait_until_answers
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.postgresql import running_postgresql

DEPLOY = Path(__file__).parents[2] / "deploy"
BUCKET = "polygon-assets"
PROJECT, OTHER = "polygon_assets", "another"
SINK = stream_job_name("sink")
Status = dg.DagsterRunStatus
RELAUNCH_SECONDS = 240.0
"""The sensor's tick, its pause after a failure, the queue and the start: 70 s on a busy machine."""


@dg.op
def say() -> None:
    print("said by the other location")  # noqa: T201


@dg.job
def speak() -> None:
    say()


SUPERVISION = dg.Definitions(
    jobs=STREAM_JOBS,
    sensors=[stream_supervisor],
    executor=dg.in_process_executor,
    resources={
        "environment": Environment(),
        "programs": StreamPrograms(command=[sys.executable, "-c", "import time; time.sleep(9000)"]),
    },
)
ANOTHER = dg.Definitions(jobs=[speak])


class Deployment:
    """The processes of deploy/compose.yaml that are Dagster's, without the webserver."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home, self._environment = home, dict(environment)
        self._started: list[subprocess.Popen[bytes]] = []
        (home / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
        self._ports = {PROJECT: free_port(0, set()), OTHER: free_port(0, set())}
        locations = [
            {"grpc_server": {"host": HOST, "port": port, "location_name": name}}
            for name, port in self._ports.items()
        ]
        (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": locations}))
        self._instance = dg.DagsterInstance.from_config(str(home))

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()

    def start_code_server(self, name: str, attribute: str) -> "subprocess.Popen[bytes]":
        port = self._ports[name]
        place = ["--host", HOST, "--port", str(port), "--location-name", name]
        served = ["--module-name", __name__, "--attribute", attribute]
        server = self.start(name, "dagster", "api", "grpc", *place, *served)
        wait_until_answers(server, port)
        return server

    def start_daemon(self, name: str) -> "subprocess.Popen[bytes]":
        return self.start(name, "dagster._daemon", "run", "-w", str(self.home / "workspace.yaml"))

    def close(self) -> None:
        self._instance.dispose()
        for process in self._started:
            process.kill()
            process.wait()

    def launch(self, location: str, job: str) -> None:
        """Put a run into the queue, as the UI does."""
        workspace = str(self.home / "workspace.yaml")
        place = ["--workspace", workspace, "--location", location, "--job", job]
        assert self.start("launch", "dagster", "job", "launch", *place).wait(120) == 0

    def runs(self, job: str, *statuses: Status) -> list[str]:
        """The ids of its runs with one of these statuses, newest first."""
        found = self._instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses))
        return [run.run_id for run in found]

    def messages(self, run_id: str) -> str:
        return "\n".join(entry.message for entry in self._instance.all_logs(run_id))

    def runs_the_sink(self, earlier: str = "") -> str:
        """Wait until a later run of the sink has its process; the run's id."""

        def started() -> list[str]:
            runs = self.runs(SINK, Status.STARTED)
            return [
                run for run in runs if run != earlier and "started as process" in self.messages(run)
            ]

        [run] = eventually(started, "the sensor launches a run of the sink", RELAUNCH_SECONDS)
        return run


def kill_worker(messages: str) -> None:
    """Kill the process of a run, which its log names."""
    found = re.search(r"\(pid: (\d+)\)", messages)
    assert found
    os.kill(int(found[1]), signal.SIGKILL)


def stored_output(run_id: str) -> str:
    """What the run's steps printed, from the bucket."""
    bucket = boto3.resource("s3").Bucket(BUCKET)
    return "".join(
        item.get()["Body"].read().decode()
        for item in bucket.objects.filter(Prefix=f"runs/storage/{run_id}/")
    )


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with (
        running_postgresql() as database,
        running_stack(tmp_path / "s3", only=("s3",), fixed_ports=False) as stack,
    ):
        own = {
            **database,
            **stack.environment(),
            "DAGSTER_HOME": str(tmp_path),
            "DAGSTER_LOGS_BUCKET": BUCKET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "MARKET_CALENDAR": "24/7",
            # Nobody answers there: runs are supervised without heartbeats too.
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:1",
            "CLICKHOUSE_HOST": HOST,
            # Without one, only the sink has its settings.
            "SUBSCRIPTIONS_BUCKET": "",
        }
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        running = Deployment(tmp_path, cleaned(os.environ) | own)
        try:
            yield running
        finally:
            running.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_is_killed_fails_and_returns_and_a_second_daemon_is_noticed(
    deployment: Deployment,
) -> None:
    code = deployment.start_code_server(PROJECT, "SUPERVISION")
    other = deployment.start_code_server(OTHER, "ANOTHER")
    deployment.start_daemon("daemon")

    first = deployment.runs_the_sink()
    kill_worker(deployment.messages(first))
    second = deployment.runs_the_sink(first)
    assert deployment.runs(SINK, Status.FAILURE) == [first]
    assert "Run execution process for" in deployment.messages(first), "its code server reports it"

    code.kill()
    eventually(
        lambda: second in deployment.runs(SINK, Status.FAILURE), "its run ends with the server"
    )
    deployment.launch(OTHER, "speak")
    [spoken] = eventually(
        lambda: deployment.runs("speak", Status.SUCCESS), "the other location's run succeeds"
    )
    assert "said by the other location" in stored_output(spoken)

    deployment.start_code_server(PROJECT, "SUPERVISION")
    deployment.runs_the_sink(second)
    assert other.poll() is None

    deployment.start_daemon("second daemon")
    eventually(
        lambda: "daemon is still sending heartbeats" in deployment.log("daemon"),
        "Dagster notices a second daemon",
    )
