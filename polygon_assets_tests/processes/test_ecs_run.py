"""A supervising run with STREAM_RUNNER=ecs under a real code server, against moto's ECS.

The supervision's decisions belong to the unit tests.
"""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from polygon_assets.defs.graph.runs import NEEDS_HUMAN_TAG
from polygon_assets_tests.ecs_cluster import CLUSTER, REGION, EcsCluster, running_ecs
from polygon_assets_tests.processes.code_server import CodeServer
from polygon_assets_tests.processes.harness import eventually

SERVICE = "polygon-assets-filter"
Status = dg.DagsterRunStatus


@pytest.fixture
def cluster() -> Iterator[EcsCluster]:
    with running_ecs() as running:
        running.create(SERVICE)
        yield running


@pytest.fixture
def code_server(cluster: EcsCluster, tmp_path: Path) -> Iterator[CodeServer]:
    environment = {
        "STREAM_RUNNER": "ecs",
        "ECS_CLUSTER": CLUSTER,
        "AWS_ENDPOINT_URL_ECS": cluster.address,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "MARKET_CALENDAR": "NYSE",
        "SESSION_OVER": str(tmp_path / "session_over"),
    }
    server = CodeServer(
        tmp_path, "polygon_assets_tests.processes.ecs_location", environment, "filter"
    )
    try:
        yield server
    finally:
        server.close()


def supervise(server: CodeServer, cluster: EcsCluster) -> tuple[str, str]:
    """Launch a run and wait until it supervises a running task; the run's id and the task's."""
    run_id = server.launch_run()
    eventually(lambda: f"service {SERVICE} runs" in server.log(run_id), "the run has the service")
    [task] = eventually(lambda: cluster.running(SERVICE), "a task runs")
    return run_id, task


def worker_of(server: CodeServer, run_id: str) -> int:
    found = re.search(r"\(pid: (\d+)\)", server.log(run_id))
    assert found
    return int(found[1])


def ends_as(server: CodeServer, run_id: str, status: Status) -> None:
    eventually(lambda: server.status(run_id).name == status.name, f"the run is {status.name}")


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_service_follows_sessions_and_people_and_outlives_a_run(
    code_server: CodeServer, cluster: EcsCluster, tmp_path: Path
) -> None:
    up, down = (SERVICE, 1), (SERVICE, 0)

    first, task = supervise(code_server, cluster)
    assert cluster.scaled == [up], "a session starts"

    for number in (signal.SIGKILL, signal.SIGTERM):
        os.kill(worker_of(code_server, first), number)
        ends_as(code_server, first, Status.FAILURE)
        cluster.schedule()
        assert cluster.running(SERVICE) == [task], f"the program outlives {number.name}"
        first, adopted = supervise(code_server, cluster)
        assert adopted == task
        assert f"service {SERVICE} runs 1 of 1 task(s); 1 wanted" in code_server.log(first)
    assert cluster.scaled == [up], "adopting it changes nothing"

    assert code_server.instance.run_launcher.terminate(first)
    ends_as(code_server, first, Status.CANCELED)
    assert cluster.scaled == [up, down], "a person stops it"
    assert f"task {task} ended with exit code 0 (ServiceSchedulerInitiated" in code_server.log(
        first
    )

    refused, _ = supervise(code_server, cluster)
    [running] = cluster.tasks(SERVICE, "RUNNING")
    cluster.end(running, 12, "EssentialContainerExited", "Essential container in task exited")
    ends_as(code_server, refused, Status.FAILURE)
    assert cluster.scaled == [up, down] * 2, "settings that cannot be used are not retried"
    log = code_server.log(refused)
    assert f"task {running.id} ended with exit code 12 (EssentialContainerExited" in log
    run = code_server.instance.get_run_by_id(refused)
    assert run is not None
    assert run.tags[NEEDS_HUMAN_TAG] == "true"

    last, _ = supervise(code_server, cluster)
    (tmp_path / "session_over").touch()
    ends_as(code_server, last, Status.SUCCESS)
    assert cluster.scaled == [up, down] * 3, "the session is over"
    assert cluster.running(SERVICE) == []
