"""The table of the throughput runs: medians, ratios within a round, targets.

Add a target here; the contenders belong to `rounds`.
"""

import statistics
from dataclasses import dataclass

from rich.table import Table

from bench.measure import Rate, median
from bench.rounds import CONTENDERS, Contender, Results

TITLE = (
    "medians of {rounds} interleaved runs, {events:,} events each; "
    "CPU of the program alone, without servers"
)
COLUMNS = (
    "program",
    "contender",
    "events/s",
    "events/s per core",
    "µs CPU per event",
    "to obvious build",
    "target",
    "met",
)


@dataclass(frozen=True)
class Target:
    """The rates and the ratio that our programs must reach; zero means no target."""

    per_core: float = 0
    per_second: float = 0
    ratio: float = 0

    def __str__(self) -> str:
        parts = [
            f"≥ {self.per_core:,.0f}/s per core" if self.per_core else "",
            f"≥ {self.per_second:,.0f}/s" if self.per_second else "",
            f"{self.ratio:.0f} : 1" if self.ratio else "",
        ]
        return ", ".join(part for part in parts if part)

    def is_met(self, rate: Rate, ratio: float) -> bool:
        return (
            rate.per_core >= self.per_core
            and rate.per_second >= self.per_second
            and ratio >= self.ratio
        )


TARGETS = {
    "producer": Target(per_core=100_000, ratio=10),
    "filter": Target(per_core=50_000),
    "sink": Target(per_second=200_000),
    "whole path": Target(per_second=12_000),
}


def rows(results: Results) -> list[tuple[str, ...]]:
    """One row of text per contender."""
    return [_row(contender, results) for contender in CONTENDERS if contender in results]


def to_table(title: str, columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> Table:
    """The table for the terminal."""
    table = Table(*columns, title=title)
    for line in lines:
        table.add_row(*line)
    return table


def to_markdown(columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """The table as Markdown."""
    rule = ("---",) * len(columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, rule, *lines)) + "\n"


def _row(contender: Contender, results: Results) -> tuple[str, ...]:
    rate, ratio = median(results[contender]), _ratio(contender, results)
    is_judged = contender.kind == "ours" and not contender.has_one_partition
    target = TARGETS[contender.program] if is_judged else None
    return (
        contender.program,
        contender.title,
        f"{rate.per_second:,.0f}",
        f"{rate.per_core:,.0f}",
        f"{rate.cpu_us:.1f}",
        f"{ratio:.1f} : 1",
        str(target or ""),
        ("yes" if target.is_met(rate, ratio) else "no") if target else "",
    )


def _ratio(contender: Contender, results: Results) -> float:
    """Events per CPU second relative to the obvious build of the same round; the median."""
    obvious = next(
        other for other in CONTENDERS if other.program == contender.program and other.is_obvious
    )
    return statistics.median(
        own.per_core / other.per_core
        for own, other in zip(results[contender], results[obvious], strict=True)
    )
