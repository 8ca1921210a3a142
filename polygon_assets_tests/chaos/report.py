"""What a run prints: its seed, each round with its time to recover, and the proof.

Add a line of the output here.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets_tests.chaos.usage import Usage
from polygon_assets_tests.chaos.verdict import Comparison, Interval, Key

EXAMPLES = 5
LOG_LINES = 60
_LENGTH = re.compile(r" for \d+ s$| by \d+\.\d s$")
_STRUCK_NOTHING = (" had no connection", " was already down")


@dataclass(frozen=True)
class Round:
    """The faults that struck together, and the seconds until all was well again."""

    faults: Sequence[str]
    seconds: float


@dataclass(frozen=True)
class Recovery:
    """The seconds of the rounds that contained a fault, which other faults may have lengthened."""

    fault: str
    rounds: int
    median: float
    most: float


def recoveries(rounds: Sequence[Round]) -> list[Recovery]:
    """One for each fault that struck something, whatever its length, the slowest first."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for done in rounds:
        for fault in done.faults:
            if fault.endswith(_STRUCK_NOTHING):
                continue
            seconds[_LENGTH.sub("", fault)].append(done.seconds)
    found = [Recovery(fault, len(all_), median(all_), max(all_)) for fault, all_ in seconds.items()]
    return sorted(found, key=lambda one: (-one.median, one.fault))


@dataclass(frozen=True)
class Proof:
    """What is known at the end about an interval."""

    interval: Interval
    gaps: Sequence[GapEntry]
    comparison: Comparison
    unrecorded: Sequence[Key]
    """The seconds that the stream lost outside every gap."""

    def failures(self) -> Iterator[str]:
        """A sentence for each gap that is not verified, and for each difference from the truth."""
        for entry in self.gaps:
            if entry.state != "verified":
                yield f"not verified: {entry}"
        for name in ("missing", "surplus", "wrong"):
            if keys := getattr(self.comparison, name):
                yield f"{len(keys)} {name}, first {keys[:EXAMPLES]}"
        if keys := self.unrecorded:
            yield f"{len(keys)} lost by the stream outside every gap, first {keys[:EXAMPLES]}"


class Show:
    """Prints a run as it goes on."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False)

    def begin(self, seed: int, minutes: float, kafka: str, tickers: int) -> None:
        self._console.print(
            f"chaos with seed {seed}: {minutes:g} minutes of faults, {kafka} Kafka, "
            f"{tickers} tickers; repeat with --seed {seed}"
        )

    def left_out(self, faults: Sequence[str]) -> None:
        """Name the faults that this machine does not allow."""
        for fault in faults:
            self._console.print(f"left out: {fault}")

    def round(self, done: Round) -> None:
        self._console.print(f"{done.seconds:6.1f} s  {' + '.join(done.faults)}")

    def proof(self, rounds: Sequence[Round], proof: Proof) -> None:
        """Print the figures of the whole run."""
        seconds = [done.seconds for done in rounds]
        comparison = proof.comparison
        lines = (
            f"{sum(len(done.faults) for done in rounds)} faults in {len(rounds)} rounds; "
            f"recovered after {median(seconds):.0f} s (median), {max(seconds):.0f} s at most",
            f"{len(proof.gaps)} gaps filled: "
            f"{sum(entry.rows_added for entry in proof.gaps):,} rows added, "
            f"{sum(entry.rows_corrected for entry in proof.gaps):,} corrected",
            f"{comparison.expected:,} seconds of symbols from {proof.interval.since:%H:%M:%S} to "
            f"{proof.interval.until:%H:%M:%S} UTC: {len(comparison.missing)} missing, "
            f"{len(comparison.surplus)} surplus, {len(comparison.wrong)} wrong; "
            f"{len(proof.unrecorded)} lost by the stream outside every gap",
        )
        self._console.print("\n".join(lines))
        table = Table("fault", "rounds", "recovered after, median s", "most s")
        for one in recoveries(rounds):
            table.add_row(one.fault, str(one.rounds), f"{one.median:.0f}", f"{one.most:.0f}")
        self._console.print(table)

    def usage(self, before: Mapping[str, Usage], after: Mapping[str, Usage]) -> None:
        """Print each process's memory and open files."""
        table = Table("process", "MiB before", "after", "files before", "after")
        for role in sorted(before.keys() & after.keys()):
            first, last = before[role], after[role]
            numbers = (first.memory_mb, last.memory_mb, first.files, last.files)
            table.add_row(role, *map(str, numbers))
        self._console.print(table)

    def success(self) -> None:
        self._console.print("nothing is missing, surplus or wrong; no process is left")

    def failure(self, error: AssertionError, log: Path) -> None:
        """Print what is wrong, and the end of `dev`'s log."""
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        self._console.print("\n".join(lines[-LOG_LINES:]), markup=False)
        self._console.print(f"FAILED: {error}", markup=False)
