"""ECS services that run stream programs: read with their tasks, scaled, and a task stopped.

Add a call to ECS here; what follows from the state of a service belongs to `inspection.services`
and `defs.stream`. Creating services belongs to the infrastructure: nothing here does.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from polygon_assets.clients import aws
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import ServiceTypeDef, TaskTypeDef

LAST_EVENTS = 3
"""Events of a service that are read: ECS writes the reason of a failed start into the newest."""
MOST_TASKS = 100
"""Tasks that one call of DescribeTasks accepts."""


class EcsError(PolygonAssetsError):
    """ECS did not do what was asked; the message names the call's object and the cause."""


class EcsUnreachableError(EcsError):
    """ECS did not answer, or asked to call less often: the same call may work later."""


class EcsRefusedError(EcsError):
    """The same call would fail again: a missing service or right, or no credentials."""


@dataclass(frozen=True)
class Task:
    """One task of a service, with one container; moments are aware."""

    id: str
    """The last part of its ARN."""
    status: str
    """PROVISIONING, PENDING, ACTIVATING, RUNNING, DEACTIVATING, STOPPING, DEPROVISIONING or
    STOPPED."""
    created_at: dt.datetime
    started_at: dt.datetime | None = None
    """When its container started; None if it never has."""
    stopped_at: dt.datetime | None = None
    stop_code: str = ""
    """Such as TaskFailedToStart or EssentialContainerExited."""
    stopped_reason: str = ""
    exit_code: int | None = None
    """128 and the signal's number for a killed program; None if its container never ran, or if
    its machine failed."""
    container_reason: str = ""
    """Such as OutOfMemoryError, or why the image could not be pulled."""


@dataclass(frozen=True)
class Service:
    """A service as ECS has it now."""

    name: str
    desired: int
    running: int
    tasks: tuple[Task, ...] = ()
    """Also those that stopped within about the last hour; empty if they were not read."""
    events: tuple[str, ...] = ()
    """The newest LAST_EVENTS, newest first."""


def service_name(settings: Settings, program: str) -> str:
    return settings.ecs_service_prefix + program


class Ecs:
    """The services of ECS_CLUSTER. Each method raises EcsUnreachableError and EcsRefusedError."""

    def __init__(self, settings: Settings, client: "ECSClient") -> None:
        self._client = client
        self._cluster = settings.ecs_cluster

    def services(self, names: Sequence[str]) -> list[Service]:
        """The services without their tasks, in the order of the names; at most ten."""
        with _named_errors(f"services {', '.join(names)} of cluster {self._cluster}"):
            answer = self._client.describe_services(cluster=self._cluster, services=list(names))
        by_name = {one["serviceName"]: one for one in answer["services"]}
        for name in names:
            if name not in by_name or by_name[name]["status"] != "ACTIVE":
                raise EcsRefusedError(
                    f"cluster {self._cluster} has no active service {name}: deploy it, or correct "
                    "ECS_CLUSTER, ECS_SERVICE_PREFIX or AWS_REGION"
                )
        return [_service(by_name[name]) for name in names]

    def service(self, name: str) -> Service:
        """The service with its tasks."""
        [described] = self.services([name])
        with _named_errors(f"tasks of service {name}"):
            # A task that stops between two pages is on both; its later state counts.
            tasks = {task.id: task for task in map(_task, self._tasks(name))}
        return replace(described, tasks=tuple(tasks.values()))

    def _tasks(self, name: str) -> "Iterator[TaskTypeDef]":
        pages = self._client.get_paginator("list_tasks")
        wanted: tuple[Literal["RUNNING", "STOPPED"], ...] = ("RUNNING", "STOPPED")
        for status in wanted:  # a task that is starting is listed as RUNNING
            for page in pages.paginate(
                cluster=self._cluster,
                serviceName=name,
                desiredStatus=status,
                PaginationConfig={"PageSize": MOST_TASKS},
            ):
                if arns := page["taskArns"]:
                    answer = self._client.describe_tasks(cluster=self._cluster, tasks=arns)
                    yield from answer["tasks"]

    def scale(self, name: str, count: int) -> None:
        """Set how many tasks the service is to run; ECS starts and stops them."""
        with _named_errors(f"service {name} of cluster {self._cluster}"):
            self._client.update_service(cluster=self._cluster, service=name, desiredCount=count)

    def stop_task(self, task_id: str, reason: str) -> None:
        """SIGTERM to a task, and SIGKILL after its `stopTimeout`; the service starts another."""
        with _named_errors(f"task {task_id} of cluster {self._cluster}"):
            self._client.stop_task(cluster=self._cluster, task=task_id, reason=reason[:255])


def connect(settings: Settings) -> Ecs:
    """ECS_CLUSTER in AWS_REGION."""
    with _named_errors(f"AWS_ENDPOINT_URL_ECS={settings.aws_endpoint_url_ecs!r}"):
        return Ecs(settings, aws.connect(settings, "ecs", settings.aws_endpoint_url_ecs))


@contextmanager
def _named_errors(subject: str) -> Iterator[None]:
    """Turn boto's errors into ours, which name the service or task."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except ClientError as error:
        kind = EcsUnreachableError if _is_passing(error) else EcsRefusedError
        raise kind(f"ECS, {subject}: {error}") from error
    except (NoCredentialsError, PartialCredentialsError, ValueError) as error:
        raise EcsRefusedError(f"ECS, {subject}: {error}") from error
    except BotoCoreError as error:
        raise EcsUnreachableError(f"ECS, {subject}: {error}") from error


def _is_passing(error: "ClientError") -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    code = error.response.get("Error", {}).get("Code", "")
    return status >= 500 or any(word in code for word in ("Throttl", "ExpiredToken"))


def _service(described: "ServiceTypeDef") -> Service:
    return Service(
        described["serviceName"],
        described["desiredCount"],
        described["runningCount"],
        (),
        tuple(
            f"{event['createdAt'].astimezone(dt.UTC):%H:%M:%S} UTC {event['message']}"
            for event in described.get("events", [])[:LAST_EVENTS]
        ),
    )


def _task(described: "TaskTypeDef") -> Task:
    containers = described.get("containers", [])
    exit_codes = [one["exitCode"] for one in containers if "exitCode" in one]
    reasons = [one["reason"] for one in containers if one.get("reason")]
    return Task(
        described["taskArn"].rpartition("/")[2],
        described["lastStatus"],
        # ECS leaves the moment out for an instant after the task is created.
        described.get("createdAt", dt.datetime.now(dt.UTC)),
        described.get("startedAt"),
        described.get("stoppedAt"),
        described.get("stopCode", ""),
        described.get("stoppedReason", ""),
        exit_codes[0] if exit_codes else None,
        "; ".join(reasons),
    )
