"""A process and everything that it has started, found also when a parent between them has died.

Only the search belongs here; how a family is stopped belongs to `process`.
"""

from collections.abc import Iterator
from contextlib import suppress

import psutil

NAME = "POLYGON_ASSETS_FAMILY"
"""The variable by which a family's members are known: every descendant inherits it."""


def inheritors(name: str, value: str) -> Iterator[psutil.Process]:
    """The processes that have a variable with this value; a zombie has no variables."""
    for process in psutil.process_iter(["ppid"]):
        # Another user's environment cannot be read, and a process may end meanwhile.
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                yield process


class Family:
    """The descendants of a process that was started with NAME set to `name`."""

    def __init__(self, pid: int, name: str) -> None:
        self._pid = pid
        self._name = name

    def living(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """The descendants that run; and which of them have lost their parent."""
        members = {
            process.pid: process
            for process in inheritors(NAME, self._name)
            if process.pid != self._pid
        }
        orphans = [
            process
            for process in members.values()
            if process.info["ppid"] not in {self._pid, *members}
        ]
        return list(members.values()), orphans
