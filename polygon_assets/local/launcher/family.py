"""A process and everything that it has started, found also when a parent between them has died.

Only the search belongs here; how a family is stopped belongs to `process`.
"""

import psutil

NAME = "POLYGON_ASSETS_FAMILY"
"""The variable by which a family's members are known: every descendant inherits it."""


class Family:
    """The descendants of a process that was started with NAME set to `name`."""

    def __init__(self, pid: int, name: str) -> None:
        self._pid = pid
        self._name = name

    def living(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """The descendants that run, without zombies; and which of them have lost their parent."""
        members = {
            process.pid: process for process in psutil.process_iter(["ppid"]) if self._has(process)
        }
        orphans = [
            process
            for process in members.values()
            if process.info["ppid"] not in {self._pid, *members}
        ]
        return list(members.values()), orphans

    def _has(self, process: psutil.Process) -> bool:
        # Another user's environment cannot be read, and a process may end meanwhile.
        try:
            return (
                process.pid != self._pid
                and process.environ().get(NAME) == self._name
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):
            return False
