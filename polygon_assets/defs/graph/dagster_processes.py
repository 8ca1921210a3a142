"""The Dagster processes above this one, and whether they still run.

Only the processes are known here; what follows when one is gone belongs to the supervising runs and
sensors. `dagster dev` that is told to stop leaves its code server running until all runs have
ended, so a run without an end of its own must notice that its parents are gone.
"""

from functools import cache
from itertools import takewhile
from pathlib import PurePath

import psutil

Ancestors = tuple[psutil.Process, ...]


@cache
def dagster_ancestors() -> Ancestors:
    """The Dagster processes above this process, as they were at the first call."""
    return dagster_above(psutil.Process())


def dagster_above(process: psutil.Process) -> Ancestors:
    """The unbroken line of Dagster processes from the parent upwards."""
    return tuple(takewhile(_is_dagster, process.parents()))


def is_intact(ancestors: Ancestors) -> bool:
    """Whether every one of them still runs; a later process with the same id is another one."""
    return all(map(_is_running, ancestors))


def _is_running(process: psutil.Process) -> bool:
    try:
        # A zombie has ended; its parent has not yet collected it.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_dagster(process: psutil.Process) -> bool:
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return False
    # `python /.../bin/dagster dev`, `python -m dagster api grpc`: among the first three.
    return any(PurePath(argument).name.startswith("dagster") for argument in arguments[:3])
