"""Processes: children that cannot outlive their parent, and whether a process still runs.

Add what every child process needs here; what a child runs, and how long, belongs to its owner.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

import psutil

_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>


def prepare_child(death_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn`: the child gets `death_signal` when its parent ends, and heeds other signals.

    The kernel sends the signal when the thread that started the child ends, however it ends. A
    shell starts background programs with SIGINT ignored, which they inherit and Dagster never
    undoes. Everything is loaded beforehand, because a forked child must not load anything. None
    where the system has no death signal (not Linux).
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent ended before the call: no signal would ever come
            os._exit(1)

    return prepare


def die_with_parent() -> None:
    """Let this process get SIGTERM when the process that started it ends, however that ends."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before the call: no signal would ever come
        os.kill(os.getpid(), signal.SIGTERM)


def is_running(process: psutil.Process) -> bool:
    """Whether a process still runs; a later process with the same id is another one.

    A zombie has ended: its parent has not collected it yet, and a parent that hangs never does.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
