"""Runs one target in this process, by seeded mutations or guided by coverage (atheris).

Add a way of choosing inputs here; the table of all targets belongs to `__main__`.
"""

import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType

import msgspec

from fuzz.mutation import LONGEST, mutated

HANG_SECONDS = 10
MOST_FAILURES = 5
"""Different failures after which a target's run ends."""
MEMORY_MB = 2_048


class Failure(msgspec.Struct):
    """A broken promise and the input that breaks it."""

    error: str
    data: bytes


class Outcome(msgspec.Struct):
    """What came of one target's run."""

    executions: int
    seconds: float
    peak_mb: float
    failures: list[Failure]

    @property
    def per_second(self) -> float:
        return self.executions / max(self.seconds, 1e-9)


class HangError(Exception):
    """One input took longer than HANG_SECONDS."""


def by_mutation(name: str, seed: int, seconds: float, runs: int) -> Outcome:
    """Mutate the target's seeds until `seconds` or `runs` are over."""
    from fuzz.targets import TARGETS

    target, random = TARGETS[name], Random(f"{name} {seed}")
    failures: dict[str, Failure] = {}
    executions, started = 0, time.monotonic()
    signal.signal(signal.SIGALRM, _hang)
    while executions < runs and time.monotonic() - started < seconds:
        data = mutated(random, target.seeds)
        executions += 1
        if failure := attempt(target.promise, data):
            failures.setdefault(failure.error, failure)
            if len(failures) >= MOST_FAILURES:
                break
    return Outcome(executions, time.monotonic() - started, peak_mb(), list(failures.values()))


def attempt(promise: Callable[[bytes], object], data: bytes) -> Failure | None:
    """Run a promise once; the failure, or None where it was kept."""
    signal.alarm(HANG_SECONDS)
    try:
        promise(data)
    except Exception as error:  # noqa: BLE001  # any error is a finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return Failure(f"{type(error).__name__} at {where}: {str(error)[:200]}", data)
    finally:
        signal.alarm(0)
    return None


def by_coverage(name: str, seed: int, seconds: float, runs: int) -> None:
    """Let atheris choose inputs; it ends the process with its statistics on stderr."""
    import atheris

    with atheris.instrument_imports(include=["polygon_assets", "fuzz"]):
        from fuzz.targets import TARGETS

    target = TARGETS[name]

    def once(data: bytes) -> None:
        if failure := attempt(target.promise, data):
            sys.stdout.buffer.write(msgspec.json.encode(failure) + b"\n")
            sys.stdout.buffer.flush()
            raise RuntimeError(failure.error)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        # Half of the changes are libFuzzer's own, which follow the coverage more closely.
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        return mutated(Random(seed), [data])[:most]

    signal.signal(signal.SIGALRM, _hang)
    with tempfile.TemporaryDirectory() as corpus:
        for number, sample in enumerate(target.seeds):
            Path(corpus, str(number)).write_bytes(sample)
        options = [
            f"-runs={runs}", f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}",
            f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1",
            f"-artifact_prefix={corpus}/", corpus,
        ]  # fmt: skip
        atheris.Setup(["fuzz", *options], once, custom_mutator=mutate)
        atheris.Fuzz()


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise HangError(f"longer than {HANG_SECONDS} s")
