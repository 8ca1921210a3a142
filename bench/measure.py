"""Wall time and CPU time of one process, measured inside it; and the medians over several rounds.

CPU time covers all threads of the process and none of its servers. The measured work belongs to
`contenders`.
"""

import resource
import statistics
import time
from collections.abc import Iterable

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """Seconds: `monotonic` is one clock for all processes of a machine, `cpu` is user + system."""

    monotonic: float
    cpu: float


class Measurement(msgspec.Struct, frozen=True):
    """The work of one process between its first and its last event."""

    events: int
    start: Sample
    end: Sample

    @property
    def cpu_seconds(self) -> float:
        return self.end.cpu - self.start.cpu


class Rate(msgspec.Struct, frozen=True):
    """Speed of one contender in one round, or its median over the rounds."""

    per_second: float
    per_core: float
    """Events per second of CPU time."""

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per event."""
        return 1e6 / self.per_core


class Meter:
    """A contender's stopwatch: the last `start` before the first event counts."""

    def __init__(self) -> None:
        self._start = sample()

    def start(self) -> None:
        self._start = sample()

    def ready(self) -> None:
        """Signal the parent process that events can come now."""
        print("ready", flush=True)

    def stop(self, events: int) -> None:
        """Print the measurement; the last thing a contender does."""
        print(msgspec.json.encode(Measurement(events, self._start, sample())).decode(), flush=True)


def sample() -> Sample:
    """The current reading of both clocks."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Sample(time.monotonic(), used.ru_utime + used.ru_stime)


def rate_of(chain: list[Measurement]) -> Rate:
    """One rate for all processes of a path together, in the order in which events pass them."""
    events = chain[-1].events
    wall = max(part.end.monotonic for part in chain) - chain[0].start.monotonic
    return Rate(events / wall, events / sum(part.cpu_seconds for part in chain))


def median(rates: Iterable[Rate]) -> Rate:
    """The median of each number on its own."""
    samples = list(rates)
    return Rate(
        statistics.median(rate.per_second for rate in samples),
        statistics.median(rate.per_core for rate in samples),
    )
