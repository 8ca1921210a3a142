"""A stream program as a child process of its run: started, stopped, and never left behind.

Add how a local process is run here; when it is started and stopped belongs to `supervision`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence

from polygon_assets.child_processes import prepare_child


class ProgramProcess:
    """A program in a session of its own that gets SIGTERM when the thread that started it ends."""

    def __init__(self, command: Sequence[str]) -> None:
        self.started = time.monotonic()
        # stdout and stderr are the run's own: the lines go to its compute log, and no pipe can
        # break under the program.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            # It only calls the kernel; without it a kill -9 of the run leaves an orphan.
            preexec_fn=prepare_child(signal.SIGTERM),  # noqa: PLW1509
        )
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self._process.poll()

    def stop(self, grace_seconds: float) -> int:
        """Send SIGTERM to the process group; after the end or the grace, SIGKILL what is left.

        Returns the exit code. An interrupted wait kills the group too.
        """
        try:
            self._signal(signal.SIGTERM)
            return self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


def ending(exit_code: int) -> str:
    """How a process ended, for a sentence that begins with the process."""
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"
