"""The runner in the cloud: the program is an ECS service, which goes on when the run dies.

Add what is done with a service here; conclusions from its state belong to `ecs_decisions`. ECS
itself replaces tasks that end; a supervision adopts the tasks that it finds.
"""

import datetime as dt
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from polygon_assets.clients.ecs import Ecs, EcsUnreachableError, Service, Task
from polygon_assets.defs.stream import ecs_decisions
from polygon_assets.defs.stream.runner import Copy, Ending
from polygon_assets.inspection.services import start_problem
from polygon_assets.messages import process_on_ecs


@dataclass(frozen=True)
class EcsLimits:
    """How often ECS is asked, and how long a start and an end may take."""

    start_seconds: float
    read_seconds: float = 5.0
    """Between two reads: ECS allows an account about 20 of them a second."""
    end_seconds: float = 60.0
    """From the end of a program's draining to the state STOPPED of its task."""


class EcsRunner:
    """One service, whose desired count this runner raises and sets to 0.

    An ECS that does not answer changes nothing: its tasks go on, and the last state counts.
    """

    outlives_run = True

    def __init__(
        self, ecs: Ecs, service: str, wanted: int, limits: EcsLimits, log: Callable[[str], None]
    ) -> None:
        """`wanted` is the number of copies; several producers choose a leader among themselves."""
        self._ecs = ecs
        self._name = service
        self._wanted = wanted
        self._limits = limits
        self._log = log
        self._service: Service | None = None
        self._read_at = -math.inf
        self._stopped: set[str] = set()
        """The tasks whose end is reported, or was before this run."""
        self._since: dict[str, float] = {}
        """When each task was first seen running, monotonic."""
        self._warned = ""

    def ensure(self) -> None:
        """Raise the desired count where it is too low; the tasks that run are adopted.

        Raises EcsRefusedError, and at the first call EcsUnreachableError.
        """
        if self._service is None:
            self._adopt(self._read())
        else:
            self._refresh()

    def copies(self) -> Sequence[Copy]:
        self._refresh()
        tasks = ecs_decisions.running(self._service) if self._service else []
        return [ecs_decisions.copy_of(task, self._seen(task), _now()) for task in tasks]

    def endings(self) -> Sequence[Ending]:
        self._refresh()
        return self._report_stopped()

    def end(self, copy: Copy, reason: str, grace_seconds: float) -> Sequence[Ending]:
        """Stop a task that hangs; ECS sends the signals, and starts another task."""

        def is_copy(task: Task) -> bool:
            return process_on_ecs(task.id) == copy.process

        for task in filter(is_copy, self._service.tasks if self._service else ()):
            self._attempt(partial(self._ecs.stop_task, task.id, reason))
        return self._wait_for(grace_seconds, is_copy)

    def stop(self, grace_seconds: float) -> Sequence[Ending]:
        """Set the desired count to 0, and wait until no task is left.

        Raises EcsUnreachableError when ECS does not accept it in time.
        """
        if self._wanted == 0:
            return []
        self._wanted = 0
        self._insist_on_zero(grace_seconds)
        self._log(f"service {self._name} is scaled to 0")
        return self._wait_for(grace_seconds, lambda _task: True)

    def leave(self, grace_seconds: float) -> Sequence[Ending]:  # noqa: ARG002
        """Nothing: the service goes on, and the next run adopts it."""
        if self._wanted and self._service:
            self._log(f"service {self._name} goes on without this run")
        return []

    def _adopt(self, service: Service) -> None:
        old = ecs_decisions.newly_stopped(service, ())
        self._stopped |= {task.id for task in old}
        self._service = service
        self._log(
            f"service {service.name} runs {service.running} of {service.desired} task(s); "
            f"{self._wanted} wanted"
            + (f"; before this run {ecs_decisions.ending_of(old[-1], 0.0, _now())}" if old else "")
        )
        self._scale(service)

    def _refresh(self) -> None:
        """Read the service again if the last state is too old, and raise its count."""
        if time.monotonic() - self._read_at < self._limits.read_seconds:
            return
        self._attempt(self._read_and_scale)

    def _read_and_scale(self) -> None:
        self._service = service = self._read()
        self._scale(service)
        late = start_problem(service, _now(), self._limits.start_seconds)
        self._warn(late)

    def _scale(self, service: Service) -> None:
        if (count := ecs_decisions.count_to_set(service, self._wanted)) is not None:
            self._ecs.scale(self._name, count)
            self._log(f"service {self._name} is scaled from {service.desired} to {count}")

    def _read(self) -> Service:
        self._read_at = time.monotonic()
        return self._ecs.service(self._name)

    def _seen(self, task: Task) -> float:
        return self._since.setdefault(task.id, time.monotonic())

    def _report_stopped(self) -> list[Ending]:
        tasks = ecs_decisions.newly_stopped(self._service, self._stopped) if self._service else []
        self._stopped |= {task.id for task in tasks}
        return [ecs_decisions.ending_of(task, self._seen(task), _now()) for task in tasks]

    def _insist_on_zero(self, grace_seconds: float) -> None:
        deadline = time.monotonic() + grace_seconds + self._limits.end_seconds
        while True:
            try:
                return self._ecs.scale(self._name, 0)
            except EcsUnreachableError as error:
                if time.monotonic() > deadline:
                    raise
                self._warn(str(error))
                time.sleep(self._limits.read_seconds)

    def _wait_for(self, grace_seconds: float, concerns: Callable[[Task], bool]) -> list[Ending]:
        """Wait until the tasks concerned have stopped. Returns all endings meanwhile."""
        patience = grace_seconds + self._limits.end_seconds
        deadline = time.monotonic() + patience
        while True:
            self._read_at = -math.inf
            self._refresh()
            tasks = ecs_decisions.not_stopped(self._service) if self._service else []
            left = list(filter(concerns, tasks))
            if not left or time.monotonic() > deadline:
                break
            time.sleep(self._limits.read_seconds)
        late = [ecs_decisions.not_ended(task, self._seen(task), _now(), patience) for task in left]
        return [*self._report_stopped(), *late]

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except EcsUnreachableError as error:
            self._warn(str(error))

    def _warn(self, problem: str) -> None:
        """Log a problem once, and again after it was over."""
        if problem and problem.partition(":")[0] != self._warned.partition(":")[0]:
            self._log(problem)
        self._warned = problem


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
