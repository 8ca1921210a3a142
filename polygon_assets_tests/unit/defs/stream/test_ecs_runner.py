"""The supervision of an ECS service: counts, endings and hung tasks, on moto's ECS over HTTP.

Heartbeats come from a fake instead of Kafka; a whole Dagster run is in processes/test_ecs_run.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from polygon_assets.clients import ecs
from polygon_assets.clients.ecs import EcsRefusedError, EcsUnreachableError
from polygon_assets.defs.graph.resources import StreamPrograms
from polygon_assets.defs.stream.ecs_runner import EcsLimits, EcsRunner
from polygon_assets.defs.stream.process_runner import ProcessRunner
from polygon_assets.defs.stream.runners import runner_for
from polygon_assets.defs.stream.supervision import (
    Limits,
    ProgramKeepsFailingError,
    ProgramNotDrainedError,
    ProgramRefusedError,
    Supervision,
)
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings, SettingsError
from polygon_assets_tests.ecs_cluster import CLUSTER, EcsCluster, running_ecs

SERVICE = "polygon-assets-producer"
LIMITS = Limits(
    grace_seconds=0.2,
    silence_seconds=0.3,
    first_beat_seconds=0.6,
    healthy_seconds=60.0,
    max_failures=3,
    poll_seconds=0.01,
)
ECS_LIMITS = EcsLimits(start_seconds=0.2, read_seconds=0.02, end_seconds=0.5)


@dataclass
class FakeHeartbeats:
    """A heartbeat of each task, but for the hung ones."""

    hung: set[str] = field(default_factory=set)
    standby: set[str] = field(default_factory=set)
    detail: str = ""

    def newest(self, process: str) -> Heartbeat | None:
        beat = Heartbeat("producer", f"{process}:0", "streaming", 0, 0, self.detail)
        beat.is_standby = process in self.standby
        return None if process in self.hung else beat

    def processes(self, within_seconds: float) -> list[str]:  # noqa: ARG002
        return []

    def silent_seconds(self, process: str, since: float) -> float:
        return time.monotonic() - since if process in self.hung else 0.0


@dataclass
class RecordingReporter:
    lines: list[str] = field(default_factory=list)
    shown: list[str | None] = field(default_factory=list)

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:  # noqa: ARG002
        self.shown.append(heartbeat.instance if heartbeat else None)

    def log(self, message: str) -> None:
        self.lines.append(message)


class Run:
    """One supervising run of the producer's service, on the cluster of the test."""

    def __init__(self, cluster: EcsCluster, copies: int = 1) -> None:
        self.cluster = cluster
        self.reporter, self.heartbeats = RecordingReporter(), FakeHeartbeats()
        self.runner = EcsRunner(
            ecs.connect(cluster.settings()), SERVICE, copies, ECS_LIMITS, self.reporter.log
        )
        self.steps: list[Callable[[], object]] = []
        """What happens, one after the other: each once its value is true."""

    def until(self, *steps: Callable[[], object]) -> None:
        """Supervise until the session is over, after the last step."""
        self._supervise(steps, left=False)

    def until_left(self, *steps: Callable[[], object]) -> None:
        """Supervise until the run must end, after the last step."""
        self._supervise(steps, left=True)

    def _supervise(self, steps: tuple[Callable[[], object], ...], *, left: bool) -> None:
        waiting = list(steps)
        deadline = time.monotonic() + 60.0

        def are_done() -> bool:
            assert time.monotonic() < deadline, f"waits at step {len(steps) - len(waiting) + 1}"
            if waiting and waiting[0]():
                waiting.pop(0)
            return not waiting

        Supervision(
            self.runner,
            self.heartbeats,
            self.reporter,
            lambda _: not left and are_done(),
            LIMITS,
            lambda: left and are_done(),
        ).run()

    def running(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.cluster.running(SERVICE)) == count

    def end(self, code: int | None, reason: str = "Essential container in task exited") -> bool:
        """Let the newest running task end."""
        task = self.cluster.tasks(SERVICE, "RUNNING")[-1]
        stop_code = "TaskFailedToStart" if code is None else "EssentialContainerExited"
        self.cluster.end(task, code, stop_code, reason)
        return True

    @property
    def log(self) -> str:
        return "\n".join(self.reporter.lines)


@pytest.fixture
def cluster() -> Iterator[EcsCluster]:
    with running_ecs() as running:
        running.create(SERVICE)
        yield running


def test_a_session_scales_the_service_up_and_down_again(cluster: EcsCluster) -> None:
    run = Run(cluster)
    run.until(run.running(1))
    assert cluster.scaled == [(SERVICE, 1), (SERVICE, 0)]
    assert run.running(0)()
    assert run.reporter.lines[0] == f"service {SERVICE} runs 0 of 0 task(s); 1 wanted"
    assert "ended with exit code 0 (ServiceSchedulerInitiated" in run.reporter.lines[-1]


def test_the_standby_is_a_second_task_and_the_leaders_heartbeat_is_shown(
    cluster: EcsCluster,
) -> None:
    run = Run(cluster, copies=2)

    def one_stands_by() -> bool:
        run.heartbeats.standby = {f"ecs-task:{cluster.running(SERVICE)[0]}"}
        run.reporter.shown.clear()
        return True

    run.until(run.running(2), one_stands_by, lambda: len(run.reporter.shown) > 3)
    assert cluster.scaled == [(SERVICE, 2), (SERVICE, 0)]
    standby = run.heartbeats.standby.pop()
    leaders = set(run.reporter.shown)
    assert len(leaders) == 1
    assert f"{standby}:0" not in leaders


def test_a_run_that_dies_leaves_the_service_and_the_next_one_adopts_it(cluster: EcsCluster) -> None:
    first = Run(cluster)
    first.until_left(first.running(1))
    [task] = cluster.running(SERVICE)
    assert cluster.desired(SERVICE) == 1
    assert f"service {SERVICE} goes on without this run" in first.log
    second = Run(cluster)
    second.until(lambda: len(second.reporter.shown) > 3)
    assert set(second.reporter.shown) == {f"ecs-task:{task}:0"}
    assert second.reporter.lines[0] == f"service {SERVICE} runs 1 of 1 task(s); 1 wanted"
    assert cluster.scaled == [(SERVICE, 1), (SERVICE, 0)], "adopting it changed nothing"


def test_an_exception_in_the_run_leaves_the_service_too(cluster: EcsCluster) -> None:
    run = Run(cluster)

    def crash() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.until(run.running(1), crash)
    assert cluster.desired(SERVICE) == 1


def test_what_ended_before_the_run_is_reported_and_not_judged(cluster: EcsCluster) -> None:
    first = Run(cluster)
    first.until_left(first.running(1))
    first.end(10)
    second = Run(cluster)
    second.until(second.running(1))
    assert "before this run task" in second.reporter.lines[0]
    assert "ended with exit code 10 (Essential" in second.reporter.lines[0]
    assert cluster.desired(SERVICE) == 0


def test_a_crashed_task_is_reported_with_its_reason_and_replaced_by_ecs(
    cluster: EcsCluster,
) -> None:
    run = Run(cluster)
    run.until(run.running(1), lambda: run.end(1), lambda: "replaced" in run.log, run.running(1))
    assert (
        "ended with exit code 1 (EssentialContainerExited, Essential container in task exited); "
        "it is replaced"
    ) in run.log
    assert cluster.scaled == [(SERVICE, 1), (SERVICE, 0)]


@pytest.mark.parametrize(("code", "cure"), [(10, "POLYGON_API_KEY"), (11, "plan"), (12, "doctor")])
def test_a_refusal_scales_the_service_to_0_instead_of_retrying_for_ever(
    code: int, cure: str, cluster: EcsCluster
) -> None:
    run = Run(cluster)
    run.heartbeats.detail = "vendor: auth_failed"
    with pytest.raises(ProgramRefusedError, match=cure) as caught:
        run.until(run.running(1), lambda: run.end(code), lambda: False)
    assert f"(exit code {code}). Its last detail: vendor: auth_failed" in str(caught.value)
    assert cluster.scaled == [(SERVICE, 1), (SERVICE, 0)]
    cluster.schedule()
    assert run.running(0)()


def test_a_task_that_ends_again_and_again_is_given_up_and_scaled_to_0(cluster: EcsCluster) -> None:
    run, cluster.exit_code_after_start = Run(cluster), 1
    with pytest.raises(ProgramKeepsFailingError, match=r"exit code 1 .*; 3 times in a row"):
        run.until(lambda: False)
    assert cluster.desired(SERVICE) == 0


@pytest.mark.parametrize(
    ("code", "endings"),
    [(12, 1), pytest.param(1, LIMITS.max_failures, marks=pytest.mark.long)],
)
def test_a_copy_that_refuses_to_start_does_not_take_a_healthy_one_down(
    code: int, endings: int, cluster: EcsCluster
) -> None:
    run = Run(cluster, copies=2)

    def first_is_healthy() -> bool:
        oldest = cluster.tasks(SERVICE, "RUNNING")[0]
        oldest.started_at -= dt.timedelta(seconds=LIMITS.healthy_seconds)
        return True

    def replaced(times: int) -> Callable[[], bool]:
        return lambda: run.log.count("it is replaced") == times and run.running(2)()

    steps: list[Callable[[], object]] = []
    for times in range(endings):
        steps += [lambda: run.end(code), replaced(times + 1)]
    run.until(run.running(2), first_is_healthy, *steps)
    assert cluster.scaled == [(SERVICE, 2), (SERVICE, 0)]


def test_a_task_that_falls_silent_is_stopped_and_the_service_goes_on(cluster: EcsCluster) -> None:
    run = Run(cluster)

    def hang() -> bool:
        [task] = cluster.running(SERVICE)
        run.heartbeats.hung = {f"ecs-task:{task}"}
        return True

    def another_runs() -> bool:
        tasks = cluster.running(SERVICE)
        return bool(tasks) and f"ecs-task:{tasks[0]}" not in run.heartbeats.hung

    run.until(run.running(1), hang, another_runs)
    assert "sent no heartbeat for" in run.log
    assert "was killed by SIGTERM (UserInitiated, task" in run.log
    assert cluster.scaled == [(SERVICE, 1), (SERVICE, 0)]


def test_a_task_that_does_not_start_is_reported_once_with_the_services_events(
    cluster: EcsCluster,
) -> None:
    run = Run(cluster)
    cluster.starts, cluster.event = False, "was unable to place a task"
    began = time.monotonic()
    run.until(lambda: time.monotonic() - began > 1.0)
    reported = [line for line in run.reporter.lines if "no task has started for" in line]
    assert len(reported) == 1
    assert "was unable to place a task" in reported[0]
    assert "stopped before its program ran" in run.reporter.lines[-1]


@pytest.mark.parametrize("code", [13, 137])
def test_a_task_that_does_not_end_well_after_the_session_is_a_failure(
    code: int, cluster: EcsCluster
) -> None:
    run, cluster.exit_code_when_drained = Run(cluster), code
    run.heartbeats.detail = "7 messages could not be handed to Kafka"
    with pytest.raises(ProgramNotDrainedError, match=r"the session is over, but task .*7 messages"):
        run.until(run.running(1))
    assert cluster.desired(SERVICE) == 0


def test_a_count_that_someone_lowers_is_raised_again_while_the_session_lasts(
    cluster: EcsCluster,
) -> None:
    run = Run(cluster)

    def lower() -> bool:
        cluster.client("ecs").update_service(cluster=CLUSTER, service=SERVICE, desiredCount=0)
        return True

    run.until(run.running(1), lower, lambda: cluster.scaled.count((SERVICE, 1)) == 2)
    assert f"service {SERVICE} is scaled from 0 to 1" in run.log


def test_an_ecs_that_does_not_answer_changes_nothing(
    cluster: EcsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, failures = Run(cluster), [0]
    read = run.runner._ecs.service

    def away(name: str) -> Any:
        failures[0] += 1
        if failures[0] < 20:
            raise EcsUnreachableError("ECS, services: no answer")
        return read(name)

    def goes_away() -> bool:
        monkeypatch.setattr(run.runner._ecs, "service", away)
        return True

    run.until(run.running(1), goes_away, lambda: failures[0] > 21)
    assert run.log.count("no answer") == 1
    assert cluster.scaled == [(SERVICE, 1), (SERVICE, 0)]


def test_a_missing_service_needs_a_person(cluster: EcsCluster) -> None:
    runner = runner_for(
        cluster.settings(), "sink", StreamPrograms(), FakeHeartbeats(), lambda _: None
    )
    with pytest.raises(EcsRefusedError, match="no active service polygon-assets-sink: deploy it"):
        runner.ensure()


def test_the_setting_chooses_the_runner_and_its_copies(cluster: EcsCluster) -> None:
    local = runner_for(Settings(), "producer", StreamPrograms(), FakeHeartbeats(), lambda _: None)
    assert isinstance(local, ProcessRunner)
    runner = runner_for(
        cluster.settings(producer_copies=2),
        "producer",
        StreamPrograms(),
        FakeHeartbeats(),
        lambda _: None,
    )
    runner.ensure()
    assert cluster.desired(SERVICE) == 2
    for program, settings in (
        ("filter", cluster.settings(filter_copies=3)),
        ("sink", cluster.settings(sink_copies=3)),
        ("archiver", cluster.settings(archiver_copies=3)),
    ):
        built = runner_for(settings, program, StreamPrograms(), FakeHeartbeats(), lambda _: None)
        assert isinstance(built, EcsRunner)
        assert built._wanted == 3
    with pytest.raises(SettingsError, match=r"STREAM_RUNNER=ecs: not set: ECS_CLUSTER; .*doctor"):
        runner_for(
            Settings(stream_runner="ecs"),
            "sink",
            StreamPrograms(),
            FakeHeartbeats(),
            lambda _: None,
        )
