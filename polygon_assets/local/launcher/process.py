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
        """Send SIGTERM, wait for the family's members that deliver, and SIGKILL what remains.

        `delivers` takes a member's command line. All have `seconds` at most; those that deliver
        nothing have SETTLE_SECONDS after the last delivery.
        """
        deadline = time.monotonic() + seconds
        family = self._told_by_parents()
        family += self._terminate_others(family)
        self.send(signal.SIGTERM)
        _wait_for(_those_that(delivers, family), deadline)
        settled = min(deadline, time.monotonic() + SETTLE_SECONDS)
        self.stop(max(0.0, settled - time.monotonic()))
        late = self._terminate_others(family)
        _wait_for(_those_that(delivers, late), deadline)
        family += late
        for process in _wait_for(family, settled):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _wait_for(family, time.monotonic() + seconds)

    def _told_by_parents(self) -> list[psutil.Process]:
        """The descendants that hear from this process that they shall end."""
        return psutil.Process(self.pid).children(recursive=True) if self.exit_code is None else []

    def _terminate_others(self, known: Sequence[psutil.Process]) -> list[psutil.Process]:
        """Send SIGTERM to the rest of the session and their children; returns these.

        Their parents have died, or started them after `known` was listed.
        """
        session = [
            process
            for process in psutil.process_iter()
            if process.pid != self.pid and _session_of(process.pid) == self.pid
        ]
        others = set(session).difference(known)
        for process in session:
            with suppress(psutil.NoSuchProcess):
                others |= set(process.children(recursive=True)).difference(known)
        for process in others:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        return list(others)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def _wait_for(processes: Sequence[psutil.Process], deadline: float) -> list[psutil.Process]:
    """Wait until the processes have ended; those that still run at the deadline."""
    while (alive := [process for process in processes if is_running(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(_POLL_SECONDS)
    return alive


def _those_that(
    delivers: Callable[[Sequence[str]], bool], processes: Sequence[psutil.Process]
) -> list[psutil.Process]:
    return [process for process in processes if delivers(_command_of(process))]


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
