"""What ECS reports of the services that run stream programs, where STREAM_RUNNER is ecs.

Add a question about these services here; keeping them running belongs to `defs.stream`, and a
call of ECS to `clients.ecs`.
"""

import datetime as dt
from collections.abc import Mapping

from polygon_assets.clients import ecs
from polygon_assets.clients.ecs import Service, Task, service_name
from polygon_assets.inspection import InspectionError
from polygon_assets.messages import PROGRAMS
from polygon_assets.required_settings import missing_settings
from polygon_assets.settings import Settings

STARTING = frozenset({"PROVISIONING", "PENDING", "ACTIVATING"})
NOT_STARTED_CURE = (
    "the events and reasons name the cause: an image that cannot be pulled, no capacity, no route "
    "to ECR, Secrets Manager or the log group, a missing right of the execution role, an exhausted "
    "subnet; after the correction ECS starts the task by itself"
)


class EcsUnusableError(InspectionError):
    """ECS did not answer, refused the question, or could not start a task."""


def runs_on_ecs(settings: Settings) -> bool:
    """Whether there are services to ask for."""
    return settings.stream_runner == "ecs" and not missing_settings(settings, "ecs")


def services(settings: Settings) -> dict[str, Service]:
    """The service of each program, with its tasks. Raises EcsUnusableError."""
    try:
        cluster = ecs.connect(settings)
        return {program: cluster.service(service_name(settings, program)) for program in PROGRAMS}
    except ecs.EcsError as error:
        raise EcsUnusableError(str(error)) from error


def desired_counts(settings: Settings) -> dict[str, int]:
    """By program, how many tasks its service is to run. Raises EcsUnusableError."""
    names = {service_name(settings, program): program for program in PROGRAMS}
    try:
        described = ecs.connect(settings).services(list(names))
    except ecs.EcsError as error:
        raise EcsUnusableError(str(error)) from error
    return {names[service.name]: service.desired for service in described}


def summary(settings: Settings, now: dt.datetime) -> str:
    """The running and desired tasks of each service.

    Raises EcsUnusableError, also for a task that has not started within ECS_START_SECONDS.
    """
    by_program = services(settings)
    late = late_services(by_program, now, settings)
    if late:
        raise EcsUnusableError(f"{'; '.join(late.values())}. What to do: {NOT_STARTED_CURE}")
    return ", ".join(
        f"{program} {service.running}/{service.desired} tasks"
        for program, service in by_program.items()
    )


def late_services(
    by_program: Mapping[str, Service], now: dt.datetime, settings: Settings
) -> dict[str, str]:
    """By program, why its service counts as not started; without those that are fine."""
    problems = {
        program: start_problem(service, now, settings.ecs_start_seconds)
        for program, service in by_program.items()
    }
    return {program: problem for program, problem in problems.items() if problem}


def start_problem(service: Service, now: dt.datetime, start_seconds: float) -> str:
    """A task that has not started within the deadline, or none where one should be.

    Empty while a service runs what it should. ECS replaces a task that fails to start by another
    one: their time counts together, from the creation of the first one after the newest start.
    """
    running = [task for task in service.tasks if task.status == "RUNNING"]
    missing = service.desired - len(running)
    if missing <= 0:
        return ""
    attempts = attempts_to_start(service)
    if not attempts:
        return (
            f"service {service.name}: {missing} of {service.desired} task(s) are missing, and ECS "
            f"starts none{_events(service)}"
        )
    waited = (now - attempts[0].created_at).total_seconds()
    if waited <= start_seconds:
        return ""
    last = attempts[-1]
    reasons = "; ".join(filter(None, (last.stopped_reason, last.container_reason)))
    return (
        f"service {service.name}: no task has started for {waited:.0f} s, more than "
        f"{start_seconds:g}; task {last.id}, number {len(attempts)}, is {last.status}"
        f"{f' ({reasons})' if reasons else ''}{_events(service)}"
    )


def attempts_to_start(service: Service) -> list[Task]:
    """The tasks created after the newest start that have not started, oldest first."""
    starts = [task.started_at for task in service.tasks if task.started_at]
    newest = max(starts, default=dt.datetime.min.replace(tzinfo=dt.UTC))
    attempts = [
        task
        for task in service.tasks
        if task.started_at is None
        and task.created_at > newest
        and (task.status in STARTING or task.stop_code == "TaskFailedToStart")
    ]
    return sorted(attempts, key=lambda task: task.created_at)


def _events(service: Service) -> str:
    return f". Its last events: {' | '.join(service.events)}" if service.events else ""
