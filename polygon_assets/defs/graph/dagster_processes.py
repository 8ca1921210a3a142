"""The Dagster processes above this one, and whether they are still there. What follows when one is gone is the supervision's business.

`dagster dev` that is told to stop leaves its code server running until all runs have ended. A run that has no end of its own must
therefore notice for itself that nobody is above it any more.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Ancestor:
    """A process; the start time (clock ticks since boot) tells it from a later one with the same id."""

    pid: int
    started: int


@cache
def dagster_ancestors() -> tuple[Ancestor, ...]:
    """The line above this process as it was when first asked."""
    return dagster_above(os.getpid())


def dagster_above(pid: int) -> tuple[Ancestor, ...]:
    """The unbroken line of Dagster processes from the parent of `pid` upwards; empty where there is no /proc."""
    line: list[Ancestor] = []
    while (above := _parent(pid)) and _is_dagster(above.pid):
        line.append(above)
        pid = above.pid
    return tuple(line)


def is_intact(line: tuple[Ancestor, ...]) -> bool:
    """Whether every process of the line is the one it was."""
    return all(_started(ancestor.pid) == ancestor.started for ancestor in line)


def _parent(pid: int) -> Ancestor | None:
    fields = _stat(pid)
    started = _started(int(fields[1])) if fields else None
    return Ancestor(int(fields[1]), started) if started is not None else None


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    # A zombie has ended; only its parent has not looked yet.
    return int(fields[19]) if fields and fields[0] != "Z" else None


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may hold spaces and brackets; empty when there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_dagster(pid: int) -> bool:
    try:
        arguments = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # `python /.../bin/dagster dev`, `python -m dagster api grpc`: it stands among the first three.
    return any(argument.rpartition(b"/")[2].startswith(b"dagster") for argument in arguments[:3])
