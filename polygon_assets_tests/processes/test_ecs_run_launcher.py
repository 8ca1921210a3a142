"""Runs that deploy/aws/dagster.yaml starts as tasks of moto's ECS, watched by Dagster's daemon.

PostgreSQL keeps the instance. moto runs no container, so a test executes the task's command itself,
as the container would. What the task definition holds belongs to deploy/aws/tests.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from polygon_assets_tests.ecs_cluster import CLUSTER, REGION, EcsCluster, running_ecs
from polygon_assets_tests.processes.code_server import CodeServer
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.postgresql import running_postgresql

DEPLOYED = Path(__file__).parents[2] / "deploy/aws/dagster.yaml"
FAMILY, CONTAINER = "polygon-assets-run", "run"
SERVICE = "polygon-assets-filter"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
MONITORING_SECONDS = 2
"""Between two checks of a run by the daemon; 30 as deployed."""


@pytest.fixture
def cluster() -> Iterator[EcsCluster]:
    with running_ecs() as running:
        running.create(SERVICE)
        running.client("ecs").register_task_definition(
            family=FAMILY,
            networkMode="awsvpc",
            containerDefinitions=[{"name": CONTAINER, "image": "image", "memory": 512}],
        )
        yield running


@pytest.fixture
def launching_task(cluster: EcsCluster) -> dict[str, Any]:
    """The task of the daemon: runs get its cluster and network."""
    ec2 = cluster.client("ec2")
    network = {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    answer = cluster.client("ecs").run_task(
        cluster=CLUSTER,
        taskDefinition=FAMILY,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )
    task: dict[str, Any] = answer["tasks"][0]
    return task


@pytest.fixture
def metadata(launching_task: dict[str, Any]) -> Iterator[str]:
    """The address at which ECS tells a task about itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            task = {"Cluster": CLUSTER, "TaskARN": launching_task["taskArn"]}
            body = json.dumps(task).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """No line for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="metadata")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def database() -> Iterator[Mapping[str, str]]:
    with running_postgresql() as variables:
        yield variables


@pytest.fixture
def environment(
    cluster: EcsCluster, metadata: str, database: Mapping[str, str], tmp_path: Path
) -> dict[str, str]:
    return {
        **database,
        "AWS_ENDPOINT_URL": cluster.address,
        "AWS_ENDPOINT_URL_ECS": cluster.address,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "ECS_CONTAINER_METADATA_URI_V4": metadata,
        "DAGSTER_RUN_TASK_DEFINITION": FAMILY,
        "STREAM_RUNNER": "ecs",
        "ECS_CLUSTER": CLUSTER,
        "MARKET_CALENDAR": "NYSE",
        "SESSION_OVER": str(tmp_path / "session_over"),
    }


@pytest.fixture
def server(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CodeServer]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shipped = yaml.safe_load(DEPLOYED.read_text())
    instance = {part: shipped[part] for part in ("storage", "run_launcher", "run_monitoring")}
    login = instance["storage"]["postgres"]["postgres_db"]
    login["port"] = {"env": "DAGSTER_POSTGRES_PORT"}
    # The image has the authority of the database among its own; here it is in a file.
    assert login["params"]["sslmode"] == "verify-full"
    login["params"]["sslrootcert"] = environment["PGSSLROOTCERT"]
    instance["run_monitoring"]["poll_interval_seconds"] = MONITORING_SECONDS
    running = CodeServer(
        tmp_path, "polygon_assets_tests.processes.ecs_location", environment, instance=instance
    )
    try:
        yield running
    finally:
        running.close()


class Daemon:
    """Dagster's daemon as a process of its own; without a workspace, so that no sensor ticks."""

    def __init__(self, home: Path) -> None:
        self._log = home / "daemon.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster._daemon", "run", "--empty-workspace"],
                env=os.environ | {"DAGSTER_HOME": str(home)},
                stdout=log,
                stderr=log,
            )

    def checks_again(self, run_id: str) -> None:
        """Wait until a check of the run has begun and ended."""
        before = self._checks(run_id)
        eventually(lambda: self._checks(run_id) > before + 1, "the daemon checks the run")

    def _checks(self, run_id: str) -> int:
        assert self._process.poll() is None, self._log.read_text()
        return self._log.read_text().count(f"Checking run {run_id}")

    def close(self) -> None:
        self._process.terminate()
        try:
            assert self._process.wait(120) == 0
        finally:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def daemon(server: CodeServer, tmp_path: Path) -> Iterator[Daemon]:
    assert server.instance.run_monitoring_enabled
    running = Daemon(tmp_path)
    yield running
    running.close()


class Container:
    """The command of a run's task, executed as its container would."""

    def __init__(
        self,
        cluster: EcsCluster,
        server: CodeServer,
        run_id: str,
        home: Path,
        earlier: "Container | None" = None,
    ) -> None:
        """Waits for a task after that of `earlier`, and until its command supervises."""
        self._cluster = cluster
        self._arn = eventually(
            lambda: later_task(server, run_id, earlier._arn if earlier else ""),
            "the run has a later task",
        )
        supervised = server.log(run_id).count(f"service {SERVICE} runs")
        [override] = self.task["overrides"]["containerOverrides"]
        assert override["name"] == CONTAINER
        program, *arguments = override["command"]
        assert program == "dagster"
        self._log = home / f"{self._arn.rpartition('/')[2]}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dagster", *arguments],
                env=os.environ | {"DAGSTER_HOME": str(home)},
                stdout=log,
                stderr=log,
            )
        eventually(
            lambda: server.log(run_id).count(f"service {SERVICE} runs") > supervised,
            f"the run supervises: {self._log.read_text()}",
        )

    @property
    def task(self) -> dict[str, Any]:
        answer = self._cluster.client("ecs").describe_tasks(cluster=CLUSTER, tasks=[self._arn])
        task: dict[str, Any] = answer["tasks"][0]
        return task

    def kill(self) -> None:
        """As the kernel does where memory is short."""
        self.process.kill()
        self.process.wait()
        self._cluster.end(
            self._cluster.task(self._arn), 137, "EssentialContainerExited", OUT_OF_MEMORY
        )


def subnets(task: dict[str, Any]) -> list[str]:
    return [
        detail["value"]
        for attachment in task["attachments"]
        for detail in attachment["details"]
        if detail["name"] == "subnetId"
    ]


def later_task(server: CodeServer, run_id: str, earlier: str) -> str:
    """The ARN of the run's task, or "" while that is still the earlier one."""
    run = server.instance.get_run_by_id(run_id)
    assert run is not None
    arn = run.tags["ecs/task_arn"]
    return "" if arn == earlier else arn


@pytest.mark.long
def test_a_run_is_a_task_in_the_daemons_network_whose_command_executes_it(
    server: CodeServer,
    cluster: EcsCluster,
    launching_task: dict[str, Any],
    daemon: Daemon,
    tmp_path: Path,
) -> None:
    run_id = server.launch_run()
    container = Container(cluster, server, run_id, tmp_path)
    task = container.task
    assert f"task-definition/{FAMILY}:" in task["taskDefinitionArn"]
    assert task["launchType"] == "FARGATE"
    assert subnets(task) == subnets(launching_task) != []
    daemon.checks_again(run_id)
    assert later_task(server, run_id, earlier="") == task["taskArn"], "a healthy run is left alone"
    assert server.status(run_id).name == dg.DagsterRunStatus.STARTED.name

    (tmp_path / "session_over").touch()
    assert container.process.wait(60) == 0
    assert server.status(run_id).name == dg.DagsterRunStatus.SUCCESS.name


@pytest.mark.long
def test_a_run_whose_task_was_killed_goes_on_in_a_new_task(
    server: CodeServer, cluster: EcsCluster, daemon: Daemon, tmp_path: Path
) -> None:
    run_id = server.launch_run()
    first = Container(cluster, server, run_id, tmp_path)
    first.kill()
    second = Container(cluster, server, run_id, tmp_path, earlier=first)
    assert cluster.desired(SERVICE) == 1, "the stream went on without its run"
    daemon.checks_again(run_id)
    assert later_task(server, run_id, earlier="") == second.task["taskArn"]
    assert server.status(run_id).name == dg.DagsterRunStatus.STARTED.name

    (tmp_path / "session_over").touch()
    assert second.process.wait(60) == 0
    assert server.status(run_id).name == dg.DagsterRunStatus.SUCCESS.name
    assert cluster.desired(SERVICE) == 0


@pytest.mark.long
@pytest.mark.usefixtures("daemon")
def test_a_run_whose_second_task_was_killed_too_fails_with_the_reason_that_ecs_gives(
    server: CodeServer, cluster: EcsCluster, tmp_path: Path
) -> None:
    run_id = server.launch_run()
    first = Container(cluster, server, run_id, tmp_path)
    first.kill()
    Container(cluster, server, run_id, tmp_path, earlier=first).kill()
    eventually(
        lambda: server.status(run_id).name == dg.DagsterRunStatus.FAILURE.name, "the run fails"
    )
    assert OUT_OF_MEMORY in server.log(run_id)
    assert "exit code 137" in server.log(run_id)
    assert cluster.desired(SERVICE) == 1, "the stream goes on without its run"
