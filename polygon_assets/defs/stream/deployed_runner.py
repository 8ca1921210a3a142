"""The runner of programs that Kubernetes runs: a run follows their heartbeats and changes nothing.

Add what only a program outside Dagster needs here; ECS, which Dagster scales, belongs to
`ecs_runner`. Deployments start, probe and replace the pods (deploy/kubernetes/streams.yaml).
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from polygon_assets.defs.stream.runner import Copy, Ending

LIVE_SECONDS = 15.0
"""Heartbeats come once a second: a process without one for so long has ended, or hangs, and its
liveness probe restarts it."""


class ProcessSource(Protocol):
    """Which processes of the program send heartbeats."""

    def processes(self, within_seconds: float) -> Sequence[str]:
        """Those with a heartbeat in the last seconds, as `messages.process_of` names them."""


class DeployedRunner:
    """The processes whose heartbeats arrive; they come and go without the run."""

    outlives_run = True

    def __init__(self, heartbeats: ProcessSource, log: Callable[[str], None]) -> None:
        self._heartbeats = heartbeats
        self._log = log
        self._since: dict[str, float] = {}
        """When each process was first seen, monotonic."""

    def ensure(self) -> None:
        """Nothing to start."""
        self._log("its Deployment runs it; this run follows its heartbeats")

    def copies(self) -> Sequence[Copy]:
        now = time.monotonic()
        processes = self._heartbeats.processes(LIVE_SECONDS)
        self._since = {process: self._since.get(process, now) for process in processes}
        return [
            Copy(f"process {process}", process, since, now - since)
            for process, since in self._since.items()
        ]

    def endings(self) -> Sequence[Ending]:
        """None: Kubernetes reports them."""
        return ()

    def end(
        self,
        copy: Copy,  # noqa: ARG002
        reason: str,  # noqa: ARG002
        grace_seconds: float,  # noqa: ARG002
    ) -> Sequence[Ending]:
        """Nothing: the liveness probe ends a process that hangs."""
        return ()

    def stop(self, grace_seconds: float) -> Sequence[Ending]:  # noqa: ARG002
        """Nothing: the program goes on after the session, and after a cancel of the run."""
        return ()

    def leave(self, grace_seconds: float) -> Sequence[Ending]:  # noqa: ARG002
        """Nothing: the next run follows it."""
        return ()
