"""What a supervision concludes from a service's state, by situation."""

import datetime as dt

import pytest

from polygon_assets.clients.ecs import Service, Task
from polygon_assets.defs.stream import ecs_decisions
from polygon_assets.defs.stream.supervision import REFUSALS

NOON = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def stopped(
    code: int | None, stop_code: str = "", reason: str = "", container_reason: str = ""
) -> Task:
    started = None if code is None else at(40)
    return Task("t", "STOPPED", NOON, started, at(100), stop_code, reason, code, container_reason)


@pytest.mark.parametrize(
    ("desired", "wanted", "count"),
    [(0, 1, 1), (1, 2, 2), (1, 1, None), (2, 2, None), (4, 1, None), (1, 0, None)],
)
def test_the_count_is_raised_to_the_copies_wanted_and_never_lowered(
    desired: int, wanted: int, count: int | None
) -> None:
    assert ecs_decisions.count_to_set(Service("s", desired, 0), wanted) == count


ENDINGS: list[tuple[Task, str, int | None, bool]] = [
    (stopped(0), "task t ended with exit code 0", 0, True),
    (
        stopped(10, "EssentialContainerExited", "Essential container in task exited"),
        "task t ended with exit code 10 (EssentialContainerExited, Essential container in task "
        "exited)",
        10,
        False,
    ),
    (stopped(13), "task t ended with exit code 13", 13, False),
    (
        stopped(137, "", "", "OutOfMemoryError: container killed"),
        "task t was killed by SIGKILL (OutOfMemoryError: container killed)",
        137,
        False,
    ),
    (stopped(143, "ServiceSchedulerInitiated"), "task t was killed by SIGTERM "
     "(ServiceSchedulerInitiated)", 143, True),
    (
        stopped(None, "TaskFailedToStart", "CannotPullContainerError: 404"),
        "task t stopped before its program ran (TaskFailedToStart, CannotPullContainerError: 404)",
        None,
        True,
    ),
    (
        Task("t", "STOPPED", NOON, at(40), at(100), "TerminationNotice", "Host EC2 terminated"),
        "task t ended with its machine (TerminationNotice, Host EC2 terminated)",
        None,
        False,
    ),
    (stopped(255), "task t ended with exit code 255", 255, False),
]  # fmt: skip


@pytest.mark.parametrize(("task", "sentence", "code", "was_drained"), ENDINGS)
def test_an_ending_names_everything_that_ecs_says(
    task: Task, sentence: str, code: int | None, was_drained: bool
) -> None:
    ending = ecs_decisions.ending_of(task, 0.0, at(999))
    assert str(ending) == sentence
    assert (ending.exit_code, ending.was_drained) == (code, was_drained)
    assert ending.copy.ran_seconds == (60.0 if task.started_at else 0.0)
    assert ending.copy.process == "ecs-task:t"


def test_no_refusal_looks_like_a_signal() -> None:
    assert max(REFUSALS) < ecs_decisions.SIGNAL_CODES


def test_only_running_tasks_are_watched_and_each_end_is_reported_once_oldest_first() -> None:
    tasks = (
        Task("new", "RUNNING", at(50), at(60)),
        Task("old", "RUNNING", at(0), at(9)),
        Task("starting", "PENDING", at(70)),
        Task("ending", "DEACTIVATING", at(0), at(5)),
        Task("second", "STOPPED", at(0), at(1), at(80)),
        Task("first", "STOPPED", at(0), at(1), at(30)),
        Task("known", "STOPPED", at(0), at(1), at(2)),
    )
    service = Service("s", 2, 2, tasks)
    assert [task.id for task in ecs_decisions.running(service)] == ["old", "new"]
    assert [task.id for task in ecs_decisions.newly_stopped(service, {"known"})] == [
        "first",
        "second",
    ]
    assert [task.id for task in ecs_decisions.not_stopped(service)] == [
        "new", "old", "starting", "ending"
    ]  # fmt: skip


def test_a_running_task_has_run_since_its_start_also_before_it_was_seen() -> None:
    copy = ecs_decisions.copy_of(Task("t", "RUNNING", NOON, at(40)), 0.0, at(940))
    assert copy.ran_seconds == 900.0


def test_a_task_that_does_not_stop_was_not_drained() -> None:
    ending = ecs_decisions.not_ended(Task("t", "STOPPING", NOON, at(1)), 0.0, at(9), 75.0)
    assert str(ending) == "task t is still STOPPING 75 s after it was asked to stop"
    assert not ending.was_drained
