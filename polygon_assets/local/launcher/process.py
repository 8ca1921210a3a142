"""One child process: starts its command, writes its log file, and ends it.

Add process handling here; a server's command and its readiness belong to `servers` and `stack`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from polygon_assets.child_processes import is_running, prepare_child
from polygon_assets.local.launcher.environment import cleaned

SETTLE_SECONDS = 3.0
"""Dagster's servers end within 1 s after their runs. On a full disk its code server never ends: it
cannot store how its runs ended."""

_POLL_SECONDS = 0.05


class Process:
    """A command that runs in its own session and, on Linux, cannot outlive this process.

    Start it from a thread that lives long enough: the kernel ends the child when the thread that
    started it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """The child gets `death_signal` when this process dies; SIGTERM lets it stop children."""
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**cleaned(os.environ), "PYTHONUNBUFFERED": "1", **environment},
                start_new_session=True,
                # Safe between fork and exec: it calls the kernel and takes no lock.
                preexec_fn=prepare_child(death_signal),  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; minus the signal's number if a signal ended it."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; does nothing if the process has ended.

        The pid cannot belong to another process, because Popen has not waited for ours yet.
        """
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """True once the process has ended, False if it still runs after `seconds`."""
        try:
            self._popen.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, seconds: float) -> None:
        """Send SIGTERM, and SIGKILL if the process still runs after `seconds`."""
        self.send(signal.SIGTERM)
        if not self.wait(seconds):
            self.send(signal.SIGKILL)
            self._popen.wait()

    def stop_tree(self, seconds: float, delivers: Callable[[Sequence[str]], bool]) -> None:
        """Send SIGTERM, wait for the descendants that deliver, and SIGKILL what remains.

        `delivers` takes a descendant's command line. All have `seconds` at most; those that deliver
        nothing have SETTLE_SECONDS after the last delivery. If the process has already ended, its
        children are found by their session and get SIGTERM at once.
        """
        deadline = time.monotonic() + seconds
        descendants = self._descendants()
        delivering = [process for process in descendants if delivers(_command_of(process))]
        self.send(signal.SIGTERM)
        _wait_for(delivering, deadline)
        deadline = min(deadline, time.monotonic() + SETTLE_SECONDS)
        self.stop(max(0.0, deadline - time.monotonic()))
        for process in _wait_for(descendants, deadline):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _wait_for(descendants, time.monotonic() + seconds)

    def _descendants(self) -> list[psutil.Process]:
        if self.exit_code is None:
            return psutil.Process(self.pid).children(recursive=True)
        children = [
            process for process in psutil.process_iter() if _session_of(process.pid) == self.pid
        ]
        descendants = [
            *children,
            *(child for process in children for child in process.children(recursive=True)),
        ]
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        return descendants

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def _wait_for(processes: Sequence[psutil.Process], deadline: float) -> list[psutil.Process]:
    """Wait until the processes have ended; those that still run at the deadline."""
    while (alive := [process for process in processes if is_running(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(_POLL_SECONDS)
    return alive


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
