"""One child process: its command, its log file, and its end.

What the process serves, and when it is ready, is not known here.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from polygon_assets.local.launcher.environment import cleaned

_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>


class Process:
    """A command that runs in a session of its own and cannot outlive this process (on Linux).

    Start it from a thread that lives as long as it should: the kernel ends it when the thread that started it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        farewell: signal.Signals = signal.SIGKILL,
    ) -> None:
        """`farewell` is the signal it gets when this process dies: SIGTERM where it has children of its own to stop."""
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**cleaned(os.environ), "PYTHONUNBUFFERED": "1", **environment},
                start_new_session=True,
                preexec_fn=in_child(farewell),  # noqa: PLW1509  # it calls the kernel and nothing that takes a lock
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number after a signal."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Nothing happens when it has ended already; its pid is never another's, since Popen has not waited for it."""
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """True once it has ended, False when it still runs after `seconds`."""
        try:
            self._popen.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL when that did not end it within `seconds`."""
        self.send(signal.SIGTERM)
        if not self.wait(seconds):
            self.send(signal.SIGKILL)
            self._popen.wait()

    def stop_tree(self, seconds: float) -> None:
        """SIGTERM, then wait for it and for every descendant it had, and SIGKILL what is left after `seconds`.

        Where it has ended by itself, its children are known by the session it opened for them; they are told to end at once.
        """
        deadline = time.monotonic() + seconds
        if self.exit_code is None:
            family = psutil.Process(self.pid).children(recursive=True)
        else:
            family = [
                process for process in psutil.process_iter() if _session_of(process.pid) == self.pid
            ]
            family += [child for process in family for child in process.children(recursive=True)]
            for process in family:
                process.terminate()
        self.stop(seconds)
        _, alive = psutil.wait_procs(family, timeout=max(0.0, deadline - time.monotonic()))
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=seconds)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def in_child(farewell: signal.Signals) -> Callable[[], None] | None:
    """For the child, between fork and exec: be told when the parent dies, however it dies, and hear SIGINT and SIGTERM.

    A shell starts what runs in its background with SIGINT ignored, which a program inherits and Dagster never undoes.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        prctl(_PR_SET_PDEATHSIG, farewell)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return prepare
