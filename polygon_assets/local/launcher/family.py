"""A process and everything that it has started, found also when a parent between them has died.

Only the search belongs here; how a family is stopped belongs to `process`.
"""

import os

import psutil


class Family:
    """The descendants of a process that began a session; each scan adds to what is known.

    A descendant belongs to the session, or its parent belongs to the family. One that began a
    session of its own stays known when its parent dies.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: set[psutil.Process] = set()

    def living(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """The descendants that run, without zombies; and which of them have lost their parent."""
        running = {
            process.pid: process
            for process in psutil.process_iter(["ppid", "status"])
            if process.pid != self._pid and process.info["status"] != psutil.STATUS_ZOMBIE
        }
        parents = {pid: process.info["ppid"] for pid, process in running.items()}
        members = {
            pid
            for pid, process in running.items()
            if process in self._known or _session_of(pid) == self._pid
        }
        while (
            children := {pid for pid, parent in parents.items() if parent in {self._pid, *members}}
            - members
        ):
            members |= children
        self._known |= {running[pid] for pid in members}
        orphans = [pid for pid in members if parents[pid] not in {self._pid, *members}]
        return [running[pid] for pid in members], [running[pid] for pid in orphans]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
