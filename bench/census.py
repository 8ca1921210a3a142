"""CPU and memory of the processes of a soak, by name, and of the rest of the machine.

Add a machine measurement here; lateness belongs to `latency`.
"""

import time
from dataclasses import dataclass

import psutil

MEGABYTE = 1e6


@dataclass(frozen=True)
class Reading:
    """One reading of the machine.

    `at` is monotonic seconds, `machine_busy` the busy seconds of all cores since boot; `cpu` holds
    CPU seconds and `resident` bytes, by process.
    """

    at: float
    machine_busy: float
    cpu: dict[str, float]
    resident: dict[str, int]


class Census:
    """Readings at the start, about every second, and at the end."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.readings = [self._read()]

    def take(self) -> None:
        """Take one more reading."""
        self.readings.append(self._read())

    def cores(self) -> dict[str, float]:
        """Average cores used by each process; `everything else` is the rest of the machine."""
        first, last = self.readings[0], self.readings[-1]
        seconds = last.at - first.at
        used = {name: (last.cpu[name] - first.cpu[name]) / seconds for name in first.cpu}
        return used | {
            "everything else": (last.machine_busy - first.machine_busy) / seconds
            - sum(used.values())
        }

    def megabytes(self, name: str) -> tuple[float, float, float]:
        """Resident memory at the start, in the middle and at the end."""
        chosen = (self.readings[0], self.readings[len(self.readings) // 2], self.readings[-1])
        start, middle, end = (reading.resident[name] / MEGABYTE for reading in chosen)
        return start, middle, end

    def _read(self) -> Reading:
        cpu, resident = {}, {}
        for name, process in self._processes.items():
            with process.oneshot():
                times = process.cpu_times()
                cpu[name], resident[name] = times.user + times.system, process.memory_info().rss
        machine = psutil.cpu_times()
        return Reading(
            time.monotonic(),
            sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice,
            cpu,
            resident,
        )
