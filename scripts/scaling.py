"""What a multiple of the whole market's peak needs: copies, partitions, megabytes, cores.

`python -m scripts.scaling` prints the table of docs/production.md. Add a measured rate here, with
where it was measured; the sizes of tasks belong to `service_sizes`. These are calculations from
measured rates, not measurements at that load.
"""

import math
from dataclasses import dataclass

from polygon_assets.costs.quantities import FILTERED_BYTES, RAW_BYTES, READERS_OF_RAW
from polygon_assets.service_sizes import STREAM_SIZES

PEAK_RATE = 12_000
"""Events in the busiest second of the whole market."""
EVENTS_PER_CORE = {"producer": 250_000, "filter": 122_000, "sink": 219_000, "archiver": 133_000}
"""By program, of its own CPU (bench/RESULTS.md; the archiver used 0.09 cores at 12,000/s)."""
ROWS_PER_CLICKHOUSE_CORE = 48_000
"""Inserts into all tables with their merges: 0.25 cores at 12,000 rows/s for an hour."""
USABLE = 0.7
"""The share of a task's CPU that a peak may use."""
COLUMNS = (
    *("load", "events/s", "producer", "filter", "sink", "archiver", "partitions"),
    *("Kafka in, out", "ClickHouse", "raise first"),
)


@dataclass(frozen=True)
class Needs:
    """What a rate of events a second needs; `copies` by program, at the sizes of service_sizes."""

    rate: int
    copies: dict[str, int]
    kafka_in: float
    kafka_out: float
    """MB/s; without replication."""
    clickhouse_cores: float

    @property
    def partitions(self) -> int:
        """A partition is read by one copy of a program, so there are as many as copies, or more."""
        return max(copies for program, copies in self.copies.items() if program != "producer")

    @property
    def first(self) -> str:
        """The program that reaches its limit first."""
        return max(self.copies, key=lambda program: self.rate / capacity(program))


def capacity(program: str) -> float:
    """Events a second that one task of the program takes."""
    return EVENTS_PER_CORE[program] * STREAM_SIZES[program].vcpu * USABLE


def needs(rate: int) -> Needs:
    """What `rate` events a second need."""
    return Needs(
        rate,
        {program: math.ceil(rate / capacity(program)) for program in EVENTS_PER_CORE},
        rate * (RAW_BYTES + FILTERED_BYTES) / 1e6,
        rate * (READERS_OF_RAW * RAW_BYTES + FILTERED_BYTES) / 1e6,
        rate / ROWS_PER_CLICKHOUSE_CORE,
    )


def line(times: int) -> tuple[str, ...]:
    """The cells of COLUMNS for a multiple of the peak."""
    needed = needs(PEAK_RATE * times)
    return (
        f"{times} times",
        f"{needed.rate:,}",
        *(f"{copies}" for copies in needed.copies.values()),
        f"{needed.partitions}",
        f"{needed.kafka_in:,.0f}, {needed.kafka_out:,.0f} MB/s",
        f"{needed.clickhouse_cores:,.1f} cores",
        needed.first,
    )


def table() -> list[str]:
    """The lines of the table in Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(line, (1, 10, 100))]
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    print("\n".join(table()))
