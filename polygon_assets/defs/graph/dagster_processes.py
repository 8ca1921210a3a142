"""The Dagster processes above this one, and whether they still run.

Add what concerns these processes here; what follows when one is gone belongs to the supervising
runs and sensors. After a stop signal, `dagster dev` keeps its code server until all runs have
ended, so a run without an end of its own must check its parents.
"""

from functools import cache
from itertools import takewhile
from pathlib import PurePath

import psutil

from polygon_assets.child_processes import is_running

Ancestors = tuple[psutil.Process, ...]


@cache
def dagster_ancestors() -> Ancestors:
    """The Dagster processes above this process, as they were at the first call."""
    return dagster_above(psutil.Process())


def dagster_above(process: psutil.Process) -> Ancestors:
    """The unbroken line of Dagster processes from the parent upwards."""
    return tuple(takewhile(_is_dagster, process.parents()))


def is_intact(ancestors: Ancestors) -> bool:
    """Whether every one of them still runs."""
    return all(map(is_running, ancestors))


def _is_dagster(process: psutil.Process) -> bool:
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return False
    # `python /.../bin/dagster dev`, `python -m dagster api grpc`: among the first three.
    return any(PurePath(argument).name.startswith("dagster") for argument in arguments[:3])
