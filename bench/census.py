"""CPU and memory of the processes of a soak, by name, with the rest of the machine beside them."""

import time
from dataclasses import dataclass

import psutil

MEGABYTE = 1e6


@dataclass(frozen=True)
class Reading:
    """Monotonic seconds; busy seconds of all cores since boot; per process CPU seconds and resident bytes."""

    at: float
    machine_busy: float
    cpu: dict[str, float]
    resident: dict[str, int]


class Census:
    """Readings at the start, now and then, and at the end."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.readings = [self._read()]

    def take(self) -> None:
        """One more reading."""
        self.readings.append(self._read())

    def cores(self) -> dict[str, float]:
        """Cores used on average, by process; what anything else on the machine used is `everything else`."""
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
