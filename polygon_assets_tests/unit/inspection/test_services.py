"""When a service counts as not started; how `status` and `doctor` show services."""

import datetime as dt
from collections.abc import Iterator

import pytest

from polygon_assets.clients.ecs import Service, Task
from polygon_assets.inspection import doctor, services
from polygon_assets.inspection.services import EcsUnusableError, start_problem, summary
from polygon_assets.inspection.status import Status
from polygon_assets.messages import PROGRAMS
from polygon_assets.settings import Settings
from polygon_assets_tests.ecs_cluster import EcsCluster, running_ecs

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
NAME = "polygon-assets-producer"
LIMIT = 180.0


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def pending(task_id: str, seconds: float, status: str = "PROVISIONING") -> Task:
    return Task(task_id, status, ago(seconds))


def streaming(task_id: str, seconds: float) -> Task:
    return Task(task_id, "RUNNING", ago(seconds + 40), ago(seconds))


def failed(task_id: str, seconds: float) -> Task:
    reason = "CannotPullContainerError: no such image"
    return Task(
        task_id, "STOPPED", ago(seconds), None, ago(seconds - 20), "TaskFailedToStart", reason
    )


def crashed(task_id: str, created: float, started: float) -> Task:
    code = "EssentialContainerExited"
    return Task(task_id, "STOPPED", ago(created), ago(started), ago(started - 5), code, "", 1)


STARTED: list[tuple[str, int, list[Task]]] = [
    ("nobody wants it", 0, []),
    ("nobody wants it, and one is starting", 0, [pending("a", 900)]),
    ("all run", 2, [streaming("a", 900), streaming("b", 5)]),
    ("more run than wanted", 1, [streaming("a", 900), streaming("b", 5)]),
    ("at the limit", 1, [pending("a", LIMIT)]),
    ("replaced within the limit", 1, [failed("a", LIMIT), pending("b", 60)]),
    ("the replacement of one that had started", 1, [crashed("a", 900, 860), pending("b", 30)]),
    (
        "failures before the newest start",
        1,
        [failed("a", 900), crashed("b", 300, 250), pending("c", 100)],
    ),
]
NOT_STARTED: list[tuple[str, int, list[Task], str]] = [
    ("beyond the limit", 1, [pending("a", LIMIT + 1)], "181 s, more than 180; task a, number 1"),
    ("pending for twelve hours", 1, [pending("a", 43_200, "PENDING")], "a, number 1, is PENDING"),
    ("each fails, another comes", 1, [failed("a", 200), failed("b", 100), pending("c", 3)],
     "task c, number 3, is PROVISIONING"),
    ("each fails, none comes now", 1, [failed("a", 200)],
     "is STOPPED (CannotPullContainerError: no such image)"),
    ("ECS starts none", 1, [], "1 of 1 task(s) are missing, and ECS starts none"),
    ("only the standby", 2, [streaming("a", 9_000), pending("b", 500)], "task b, number 1"),
]  # fmt: skip


def service(desired: int, tasks: list[Task]) -> Service:
    event = "14:59:00 UTC (service producer) was unable to place a task"
    return Service(NAME, desired, 0, tuple(tasks), (event,))


@pytest.mark.parametrize(("_case", "desired", "tasks"), STARTED, ids=[row[0] for row in STARTED])
def test_a_service_that_starts_in_time_is_no_problem(
    _case: str, desired: int, tasks: list[Task]
) -> None:
    assert start_problem(service(desired, tasks), NOW, LIMIT) == ""


@pytest.mark.parametrize(
    ("_case", "desired", "tasks", "sentence"), NOT_STARTED, ids=[row[0] for row in NOT_STARTED]
)
def test_a_service_that_does_not_start_is_named_with_its_last_events(
    _case: str, desired: int, tasks: list[Task], sentence: str
) -> None:
    problem = start_problem(service(desired, tasks), NOW, LIMIT)
    assert problem.startswith(f"service {NAME}: ")
    assert sentence in problem
    assert problem.endswith("Its last events: 14:59:00 UTC (service producer) was unable to place "
                            "a task")  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[EcsCluster]:
    with running_ecs() as running:
        running.create(*(f"polygon-assets-{program}" for program in PROGRAMS))
        yield running


def test_status_shows_the_services_and_doctor_finds_them(cluster: EcsCluster) -> None:
    settings = cluster.settings()
    cluster.client("ecs").update_service(cluster="streams", service=NAME, desiredCount=2)
    services.services(settings)  # each look lets the scheduler of the test go on
    services.services(settings)
    assert summary(settings, NOW).startswith("producer 2/2 tasks, filter 0/0 tasks")
    [finding] = doctor._runner_findings(settings)
    assert finding.ok
    assert "has the services of producer, filter, sink, archiver" in finding.message


def test_status_is_not_healthy_while_a_task_does_not_start(cluster: EcsCluster) -> None:
    cluster.starts, cluster.event = False, "was unable to place a task: no capacity"
    cluster.client("ecs").update_service(cluster="streams", service=NAME, desiredCount=1)
    settings = cluster.settings(ecs_start_seconds=180)
    services.services(settings)
    now = dt.datetime.now(dt.UTC)
    assert "producer 0/1 tasks" in summary(settings, now)
    with pytest.raises(EcsUnusableError) as caught:
        summary(settings, now + dt.timedelta(seconds=200))
    assert f"service {NAME}: no task has started for" in str(caught.value)
    assert "unable to place a task: no capacity" in str(caught.value)
    assert "ECR" in str(caught.value), "the cure"
    late = settings.model_copy(update={"ecs_start_seconds": 0.0})
    shown = Status(late).facts(now + dt.timedelta(seconds=1))["services"]["ecs"]
    assert not shown["ok"]
    assert f"service {NAME}" in shown["detail"]


def test_a_missing_service_cluster_or_setting_is_named_with_the_cure(cluster: EcsCluster) -> None:
    elsewhere = cluster.settings(ecs_service_prefix="other-")
    [finding] = doctor._runner_findings(elsewhere)
    assert not finding.ok
    assert "no active service other-producer: deploy it, or correct ECS_CLUSTER" in finding.message
    assert "ecs:UpdateService" in finding.cure
    [finding] = doctor._runner_findings(cluster.settings().model_copy(update={"ecs_cluster": "x"}))
    assert "cluster x" in finding.message
    assert "ClusterNotFoundException" in finding.message
    [finding] = doctor._runner_findings(Settings(stream_runner="ecs"))
    assert finding.message == "ECS_CLUSTER is not set"
    away = cluster.settings().model_copy(update={"aws_endpoint_url_ecs": "http://127.0.0.1:1"})
    with pytest.raises(EcsUnusableError, match=r"127\.0\.0\.1:1"):
        services.desired_counts(away)


def test_a_local_process_has_no_service_to_ask_for() -> None:
    assert not services.runs_on_ecs(Settings())
    assert not services.runs_on_ecs(Settings(stream_runner="ecs"))
