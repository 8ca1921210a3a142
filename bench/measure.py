"""Wall time and CPU time of one process at work, taken inside it; and the medians over several rounds.

The CPU time is the process's own (all its threads), never its servers'. What is run is the contenders' business.
"""

import resource
import statistics
import time
from collections.abc import Iterable

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """`monotonic` is the same clock in every process of a machine; `cpu` is user and system time. Seconds."""

    monotonic: float
    cpu: float


class Measurement(msgspec.Struct, frozen=True):
    """What one process did between its first and its last event."""

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
    """Taken along by a contender: `start` may be called again as long as no event was seen, the last call counts."""

    def __init__(self) -> None:
        self._start = sample()

    def start(self) -> None:
        self._start = sample()

    def ready(self) -> None:
        """Tell the parent that events can come now."""
        print("ready", flush=True)

    def stop(self, events: int) -> None:
        """Report; the last thing a contender does."""
        print(msgspec.json.encode(Measurement(events, self._start, sample())).decode(), flush=True)


def sample() -> Sample:
    """Now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Sample(time.monotonic(), used.ru_utime + used.ru_stime)


def rate_of(chain: list[Measurement]) -> Rate:
    """Speed of processes that hand events on to each other, the first one first: one rate for all of them together."""
    events = chain[-1].events
    wall = max(part.end.monotonic for part in chain) - chain[0].start.monotonic
    return Rate(events / wall, events / sum(part.cpu_seconds for part in chain))


def median(rates: Iterable[Rate]) -> Rate:
    """Each number's own median."""
    known = list(rates)
    return Rate(
        statistics.median(rate.per_second for rate in known),
        statistics.median(rate.per_core for rate in known),
    )
