"""The runner of one machine: the program is a child process of the run, and ends with it.

Add what only a local process needs here; ECS belongs to `ecs_runner`.
"""

import signal
import socket
import time
from collections.abc import Callable, Sequence

from polygon_assets.defs.stream.program_process import ProgramProcess, ending
from polygon_assets.defs.stream.runner import Copy, Ending
from polygon_assets.messages import process_on_host


class ProcessRunner:
    """One child process at a time; for the main thread, with whose end the kernel ends it."""

    outlives_run = False

    def __init__(self, command: Sequence[str], log: Callable[[str], None]) -> None:
        self._command = command
        self._log = log
        self._process: ProgramProcess | None = None

    def ensure(self) -> None:
        """Start the process unless one runs."""
        if self._process is None:
            self._process = ProgramProcess(self._command)
            self._log(f"started as process {self._process.pid}")

    def copies(self) -> Sequence[Copy]:
        return [_copy(self._process)] if self._process else []

    def endings(self) -> Sequence[Ending]:
        """Empty while the process runs; afterwards nothing of its group is left."""
        if self._process is None or self._process.exit_code() is None:
            return []
        return self.stop(0.0)

    def end(
        self,
        copy: Copy,  # noqa: ARG002
        reason: str,  # noqa: ARG002
        grace_seconds: float,
    ) -> Sequence[Ending]:
        """End the only copy."""
        return self.stop(grace_seconds)

    def stop(self, grace_seconds: float) -> Sequence[Ending]:
        if self._process is None:
            return []
        process = self._process
        code = process.stop(grace_seconds)
        self._process = None
        return [
            Ending(
                _copy(process),
                ending(code),
                code,
                # Killed by SIGTERM: it had not yet set its handler, so it had accepted nothing.
                code in (0, -signal.SIGTERM),
            )
        ]

    def leave(self, grace_seconds: float) -> Sequence[Ending]:
        return self.stop(grace_seconds)


def _copy(process: ProgramProcess) -> Copy:
    return Copy(
        f"process {process.pid}",
        process_on_host(socket.gethostname(), process.pid),
        process.started,
        time.monotonic() - process.started,
    )
