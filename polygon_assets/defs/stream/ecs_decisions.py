"""What a supervision concludes from the state of an ECS service: pure functions.

Add a conclusion here; whether a service counts as not started belongs to `inspection.services`,
which the alerts share, and acting on it to `ecs_runner`.
"""

import datetime as dt
import signal
from collections.abc import Collection

from polygon_assets.clients.ecs import Service, Task
from polygon_assets.defs.stream.runner import Copy, Ending
from polygon_assets.messages import process_on_ecs

SIGNAL_CODES = 128
"""A container's exit code after a signal is its number above this."""


def count_to_set(service: Service, wanted: int) -> int | None:
    """The desired count to set; None if the service is to run enough tasks already.

    A larger count is left: autoscaling on consumer lag may have raised it.
    """
    return wanted if service.desired < wanted else None


def running(service: Service) -> list[Task]:
    """The tasks whose program runs, oldest first."""
    tasks = [task for task in service.tasks if task.status == "RUNNING"]
    return sorted(tasks, key=lambda task: task.started_at or task.created_at)


def newly_stopped(service: Service, known: Collection[str]) -> list[Task]:
    """The stopped tasks that are not known yet, oldest first; ECS lists them for about an hour."""
    tasks = [task for task in service.tasks if task.status == "STOPPED" and task.id not in known]
    return sorted(tasks, key=lambda task: task.stopped_at or task.created_at)


def not_stopped(service: Service) -> list[Task]:
    """The tasks that run, or are about to start or to end."""
    return [task for task in service.tasks if task.status != "STOPPED"]


def copy_of(task: Task, since: float, now: dt.datetime) -> Copy:
    return Copy(f"task {task.id}", process_on_ecs(task.id), since, ran_seconds(task, now))


def ran_seconds(task: Task, now: dt.datetime) -> float:
    """How long the task's program has run, or ran; 0 if it never started."""
    if task.started_at is None:
        return 0.0
    ran = (task.stopped_at or now) - task.started_at
    return max(0.0, ran.total_seconds())


def ending_of(task: Task, since: float, now: dt.datetime) -> Ending:
    """How a stopped task ended, with everything that ECS says about it."""
    reasons = [task.stop_code, task.stopped_reason, task.container_reason]
    because = ", ".join(reason for reason in reasons if reason)
    return Ending(
        copy_of(task, since, now),
        _how(task) + (f" ({because})" if because else ""),
        task.exit_code,
        # Ended by SIGTERM: it had not yet set its handler, so it had accepted nothing.
        task.exit_code in (0, SIGNAL_CODES + signal.SIGTERM) or _never_ran(task),
    )


def not_ended(task: Task, since: float, now: dt.datetime, patience_seconds: float) -> Ending:
    """The ending of a task that ECS has not stopped in time: what it accepted may be missing."""
    how = f"is still {task.status} {patience_seconds:.0f} s after it was asked to stop"
    return Ending(copy_of(task, since, now), how, None, was_drained=False)


def _never_ran(task: Task) -> bool:
    return task.exit_code is None and task.started_at is None


def _how(task: Task) -> str:
    if task.exit_code is None:
        return "stopped before its program ran" if _never_ran(task) else "ended with its machine"
    try:
        return f"was killed by {signal.Signals(task.exit_code - SIGNAL_CODES).name}"
    except ValueError:
        return f"ended with exit code {task.exit_code}"
