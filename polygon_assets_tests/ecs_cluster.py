"""moto's ECS behind HTTP, with the part that moto lacks: a scheduler that starts and stops tasks.

Add what ECS does by itself here; what a test expects of it belongs to the test. moto keeps
services and tasks apart, and sets neither times, stop codes nor exit codes.
"""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ecs.models import Task, ecs_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from polygon_assets.settings import Settings

CLUSTER, REGION = "streams", "us-east-1"


class EcsCluster:
    """A cluster with services, whose scheduler runs whenever somebody lists tasks."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.scaled: list[tuple[str, int]] = []
        """Each desired count that was set: the service and the count."""
        self.starts = True
        """Whether new tasks begin to run; otherwise they stay PENDING."""
        self.exit_code_after_start: int | None = None
        """A code with which each task ends right after its start."""
        self.exit_code_when_drained = 0
        self.event = ""
        """The newest event of every service."""
        self._lock = threading.RLock()
        self._backend = _backend()
        self._list_tasks, self._update = self._backend.list_tasks, self._backend.update_service
        self._backend.list_tasks = self._listed
        self._backend.update_service = self._updated

    def settings(self, **changes: Any) -> Settings:
        return Settings(
            stream_runner="ecs",
            ecs_cluster=CLUSTER,
            aws_endpoint_url_ecs=self.address,
            aws_region=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            **changes,
        )

    def create(self, *services: str, desired: int = 0) -> None:
        """A deployment: the cluster, one task definition, and the services."""
        client = self.client("ecs")
        client.create_cluster(clusterName=CLUSTER)
        client.register_task_definition(
            family="program",
            containerDefinitions=[{"name": "program", "image": "image", "memory": 512}],
        )
        for service in services:
            client.create_service(
                cluster=CLUSTER, serviceName=service, taskDefinition="program", desiredCount=desired
            )

    def client(self, name: str) -> Any:
        make: Any = boto3.client
        return make(
            name,
            endpoint_url=self.address,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def desired(self, service: str) -> int:
        count: int = self._backend._get_service(CLUSTER, service).desired_count
        return count

    def tasks(self, service: str, *statuses: str) -> list[Any]:
        """moto's tasks of a service with one of the statuses, oldest first."""
        with self._lock:
            tasks = self._backend.tasks.get(CLUSTER, {}).values()
            return [
                task
                for task in tasks
                if task.group == f"service:{service}" and task.last_status in statuses
            ]

    def task(self, arn: str) -> Any:
        """moto's task."""
        return self._backend.tasks[CLUSTER][arn]

    def running(self, service: str) -> list[str]:
        """The ids of the running tasks."""
        return [task.id for task in self.tasks(service, "RUNNING")]

    def end(self, task: Any, exit_code: int | None, code: str, reason: str) -> None:
        """Let a task end, as a program that exits, or a machine that fails."""
        with self._lock:
            task.last_status = task.desired_status = "STOPPED"
            task.stopped_at, task.stop_code, task.stopped_reason = _now(), code, reason
            task.containers[0].exitCode = exit_code

    def schedule(self) -> None:
        """One round of the scheduler."""
        with self._lock:
            for service in list(self._backend.services.values()):
                self._settle(service)

    def _settle(self, service: Any) -> None:
        for task in self.tasks(service.name, "STOPPED"):
            if not hasattr(task, "stopped_at"):  # moto's own answer to StopTask
                self.end(task, 143, "UserInitiated", task.stopped_reason)
        if self.exit_code_after_start is not None:
            for task in self.tasks(service.name, "RUNNING"):
                reason = "Essential container in task exited"
                self.end(task, self.exit_code_after_start, "EssentialContainerExited", reason)
        if self.starts:
            for task in self.tasks(service.name, "PENDING"):
                task.last_status, task.started_at = "RUNNING", _now()
        alive = self.tasks(service.name, "PENDING", "RUNNING")
        for task in alive[service.desired_count :]:
            code = self.exit_code_when_drained if task.last_status == "RUNNING" else None
            self.end(task, code, "ServiceSchedulerInitiated", "Scaling activity initiated")
        for _ in range(service.desired_count - len(alive)):
            self._start(service)
        service.running_count = len(self.tasks(service.name, "RUNNING"))
        service.events = [{"id": "1", "createdAt": _now(), "message": self.event}]

    def _start(self, service: Any) -> None:
        backend = self._backend
        definition = backend.describe_task_definition("program")
        group = f"service:{service.name}"
        make: Any = Task
        task = make(backend._get_cluster(CLUSTER), definition, None, None, backend, group)
        task.last_status, task.containers[0].exitCode = "PENDING", None
        task.created_at = _now()
        # moto moves a task one state on at each look.
        task.advance = lambda: None
        backend.tasks.setdefault(CLUSTER, {})[task.task_arn] = task

    def _listed(self, *arguments: Any) -> list[Any]:
        """moto lists all tasks of the cluster; ECS those of the service."""
        self.schedule()
        with self._lock:
            *_, service, _status = arguments
            tasks = self._list_tasks(*arguments)
            return [task for task in tasks if task.group == f"service:{service}"]

    def _updated(self, changes: dict[str, Any]) -> Any:
        with self._lock:
            self.scaled.append((changes["service"], changes["desired_count"]))
            return self._update(changes)


@contextmanager
def running_ecs() -> Iterator[EcsCluster]:
    """An account without services, on a free port of 127.0.0.1."""
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=_QuietRequestHandler
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="moto")
    thread.start()
    try:
        yield EcsCluster(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for backends in (ecs_backends, applicationautoscaling_backends):
            backends[DEFAULT_ACCOUNT_ID].reset()


class _QuietRequestHandler(MotoRequestHandler):
    def log_request(self, *_: Any) -> None:
        """No line for each request."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _backend() -> Any:
    return ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
