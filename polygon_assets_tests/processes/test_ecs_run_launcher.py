"""Runs that deploy/aws/dagster.yaml starts as tasks of moto's ECS; PostgreSQL keeps the instance.

moto runs no container, so a test executes the task's command itself, as the container would. What
the task definition holds belongs to deploy/aws/tests.
"""

import json
import logging
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
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from polygon_assets_tests.ecs_cluster import CLUSTER, REGION, EcsCluster, running_ecs
from polygon_assets_tests.processes.code_server import CodeServer
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.postgresql import running_postgresql

DEPLOYED = Path(__file__).parents[2] / "deploy/aws/dagster.yaml"
FAMILY, CONTAINER = "polygon-assets-run", "run"
SERVICE = "polygon-assets-filter"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


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
def daemon(cluster: EcsCluster) -> dict[str, Any]:
    """The task that launches: runs get its cluster and network."""
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
def metadata(daemon: dict[str, Any]) -> Iterator[str]:
    """The address at which ECS tells a task about itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"Cluster": CLUSTER, "TaskARN": daemon["taskArn"]}).encode()
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
    instance["storage"]["postgres"]["postgres_db"]["port"] = {"env": "DAGSTER_POSTGRES_PORT"}
    running = CodeServer(
        tmp_path, "polygon_assets_tests.processes.ecs_location", environment, instance=instance
    )
    try:
        yield running
    finally:
        running.close()


class Container:
    """The command of a run's newest task, executed as its container would."""

    def __init__(self, cluster: EcsCluster, server: CodeServer, run_id: str, home: Path) -> None:
        run = server.instance.get_run_by_id(run_id)
        assert run is not None
        self._cluster, self._arn = cluster, run.tags["ecs/task_arn"]
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


def monitor(server: CodeServer, run_id: str) -> None:
    """What the daemon does every `poll_interval_seconds`."""
    with WorkspaceProcessContext(server.instance, EmptyWorkspaceTarget()) as workspace:
        record = server.instance.get_run_record_by_id(run_id)
        assert record is not None
        context = workspace.create_request_context()
        monitor_started_run(server.instance, context, record, logging.getLogger("monitor"))


@pytest.mark.long
def test_a_run_is_a_task_in_the_daemons_network_whose_command_executes_it(
    server: CodeServer, cluster: EcsCluster, daemon: dict[str, Any], tmp_path: Path
) -> None:
    run_id = server.launch_run()
    container = Container(cluster, server, run_id, tmp_path)
    task = container.task
    assert f"task-definition/{FAMILY}:" in task["taskDefinitionArn"]
    assert task["launchType"] == "FARGATE"
    assert subnets(task) == subnets(daemon) != []
    monitor(server, run_id)
    assert server.status(run_id).name == dg.DagsterRunStatus.STARTED.name

    (tmp_path / "session_over").touch()
    assert container.process.wait(60) == 0
    assert server.status(run_id).name == dg.DagsterRunStatus.SUCCESS.name


@pytest.mark.long
def test_a_run_whose_task_was_killed_goes_on_in_a_new_task(
    server: CodeServer, cluster: EcsCluster, tmp_path: Path
) -> None:
    run_id = server.launch_run()
    first = Container(cluster, server, run_id, tmp_path)
    first.kill()
    monitor(server, run_id)
    second = Container(cluster, server, run_id, tmp_path)
    assert second.task["taskArn"] != first.task["taskArn"]
    assert cluster.desired(SERVICE) == 1, "the stream went on without its run"
    monitor(server, run_id)
    assert server.status(run_id).name == dg.DagsterRunStatus.STARTED.name

    (tmp_path / "session_over").touch()
    assert second.process.wait(60) == 0
    assert server.status(run_id).name == dg.DagsterRunStatus.SUCCESS.name
    assert cluster.desired(SERVICE) == 0


@pytest.mark.long
def test_a_run_whose_second_task_was_killed_too_fails_with_the_reason_that_ecs_gives(
    server: CodeServer, cluster: EcsCluster, tmp_path: Path
) -> None:
    run_id = server.launch_run()
    for _ in range(2):
        assert server.status(run_id).name != dg.DagsterRunStatus.FAILURE.name
        Container(cluster, server, run_id, tmp_path).kill()
        monitor(server, run_id)
    assert server.status(run_id).name == dg.DagsterRunStatus.FAILURE.name
    assert OUT_OF_MEMORY in server.log(run_id)
    assert "exit code 137" in server.log(run_id)
    assert cluster.desired(SERVICE) == 1, "the stream goes on without its run"
