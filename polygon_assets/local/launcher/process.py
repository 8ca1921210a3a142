"""One child process: starts its command, writes its log file, and ends it.

Add process handling here; a server's command and its readiness belong to `servers` and `stack`.
"""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from polygon_assets.child_processes import prepare_child
from polygon_assets.local.launcher.environment import cleaned
from polygon_assets.local.launcher.family import NAME as FAMILY
from polygon_assets.local.launcher.family import Family

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
        self._family = uuid.uuid4().hex
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **cleaned(os.environ),
                    "PYTHONUNBUFFERED": "1",
                    FAMILY: self._family,
                    **environment,
                },
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
        """Stop this process and everything that it has started.

        SIGTERM goes to this process, and to each descendant whose parent has died: no parent would
        stop it. `delivers` says of a descendant's command line whether it has something to deliver;
        then it has `seconds` to end. What still runs SETTLE_SECONDS after the last of these gets
        SIGKILL.
        """
        descendants = Family(self.pid, self._family)
        terminated = set[psutil.Process]()
        deadline = time.monotonic() + seconds
        settled = min(deadline, time.monotonic() + SETTLE_SECONDS)
        self.send(signal.SIGTERM)
        while True:
            has_ended = self.exit_code is not None
            living, orphans = descendants.living()
            if has_ended and not living:
                return
            for orphan in set(orphans) - terminated:
                with suppress(psutil.NoSuchProcess):
                    orphan.terminate()
                terminated.add(orphan)
            now = time.monotonic()
            if any(delivers(_command_of(process)) for process in living):
                settled = min(deadline, now + SETTLE_SECONDS)
            if now >= settled:
                break
            time.sleep(_POLL_SECONDS)
        self.stop(0.0)
        last = time.monotonic() + seconds
        while (living := descendants.living()[0]) and time.monotonic() < last:
            for process in living:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_POLL_SECONDS)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
