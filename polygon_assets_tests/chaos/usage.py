"""Memory and open files of each process of the system, at the start and at the end of a run.

Add a resource that must not grow here.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from polygon_assets_tests.chaos.system import System

MB = 1 << 20
MOST_FILES = 150
"""A leak of one per round shows in an hour."""
MOST_FILES_OF = {"clickhouse": 600}
"""It keeps three files open for each thread of its pool, which grows with the busiest moment."""
MOST_MEMORY_MB = 400
"""ClickHouse's caches and Dagster's module state grow at first; a leak does not stop there."""
GROWING = frozenset({"kafka"})
"""The embedded broker keeps every message in memory; a process of Java grows to its limit."""


@dataclass(frozen=True)
class Usage:
    """One process's memory in MiB and its open files."""

    memory_mb: int
    files: int


def usage(system: System) -> dict[str, Usage]:
    """By the role of the process."""
    used = {}
    for role, process in system.roles().items():
        with suppress(psutil.Error):
            used[role] = Usage(process.memory_info().rss // MB, process.num_fds())
    return used


def growth(first: dict[str, Usage], last: dict[str, Usage]) -> Iterator[str]:
    """A sentence for each process that grew too much."""
    for role in sorted(first.keys() & last.keys()):
        memory = last[role].memory_mb - first[role].memory_mb
        files = last[role].files - first[role].files
        if role not in GROWING and memory > MOST_MEMORY_MB:
            yield f"{role} grew by {memory} MiB"
        if files > MOST_FILES_OF.get(role, MOST_FILES):
            yield f"{role} has {files} more open files"
