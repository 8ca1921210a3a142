"""The seam between a supervision and whoever runs its program: a child process, ECS or Kubernetes.

Add a verb here only if several runners need it; when it is used belongs to `supervision`, how it is
done to `process_runner`, `ecs_runner` and `deployed_runner`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Copy:
    """A running copy of a program."""

    name: str
    """For sentences: `process 4711`, `task 0a1b2c`."""
    process: str
    """As its heartbeats name it: see `messages.process_of`."""
    since: float
    """When it was started or first seen running, monotonic."""
    ran_seconds: float
    """How long it has run, also before it was seen."""


@dataclass(frozen=True)
class Ending:
    """How a copy ended."""

    copy: Copy
    how: str
    """Goes on after the copy's name: `ended with exit code 1`."""
    exit_code: int | None
    """Negative or above 128 for a signal; None if nobody knows it."""
    was_drained: bool
    """Whether it delivered everything that it had accepted."""

    def __str__(self) -> str:
        return f"{self.copy.name} {self.how}"


class Runner(Protocol):
    """Runs one program; every method may be called at any time, and repeated."""

    outlives_run: bool
    """Whether the program goes on, and its ended copies are replaced, without this run."""

    def ensure(self) -> None:
        """Let the program run; what runs already is left as it is."""

    def copies(self) -> Sequence[Copy]:
        """The copies that run now."""

    def endings(self) -> Sequence[Ending]:
        """The copies that ended by themselves, each once."""

    def end(self, copy: Copy, reason: str, grace_seconds: float) -> Sequence[Ending]:
        """End one copy, which hangs: SIGTERM, and after the grace SIGKILL."""

    def stop(self, grace_seconds: float) -> Sequence[Ending]:
        """End the program for good, and wait for it. Returns how its copies ended."""

    def leave(self, grace_seconds: float) -> Sequence[Ending]:
        """The run ends before its time: end the program too, if it cannot go on without the run."""
