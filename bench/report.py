"""The results as text: the soak's two tables, and RESULTS.md with the machine they come from.

Add a line of the soak's tables here; the throughput table belongs to `table`.
"""

import datetime as dt
import os
import platform
from pathlib import Path

from bench.soak import Lateness, Soak

RESULTS = Path(__file__).parent / "RESULTS.md"
P99_TARGET_SECONDS = 1.5

FINDING_COLUMNS = ("the full market, end to end", "result")
PROCESS_COLUMNS = ("process", "cores used", "MB at start", "middle", "end")

NOTES = """\
How to read this:

- Each contender is one process, the whole path three. CPU is the CPU of these processes
  (`getrusage`); the broker, ClickHouse and the vendor are not in it.
- A program's clock starts with its first event or when it has its partitions. The clock stops when
  the program has drained and ended by itself.
- Obvious build: polygon-api-client's WebSocketClient with its models, `json`, kafka-python with its
  defaults and a flush per frame or poll, inserts of 1,000 row tuples. Rules and delivery guarantees
  are those of our programs.
- Every contender starts with an empty broker and empty tables; a ratio compares CPU per event
  within one run.
- `events/s` is wall time with all servers on the same cores. The embedded ClickHouse limits the
  sink: compare its ceiling.
- Latencies are sampled four times a second, so each is up to 0.25 s too long. All rows count, also
  those of a second that the simulated exchange itself sent late, which happens when it draws the
  next minute.
- Kafka's memory grows because the embedded broker keeps every message in memory.
"""

Lines = list[tuple[str, ...]]


def findings(soak: Soak) -> Lines:
    """The soak's results, one row of text each."""
    received = soak.received_to_queryable
    verdict = "met" if received.p99 <= P99_TARGET_SECONDS else "not met"
    forwarded = ", ".join(f"{name} {count:,}" for name, count in sorted(soak.forwarded.items()))
    return [
        (
            "measured",
            f"{soak.seconds:.0f} s at {soak.rows_per_second:,} aggregates/s, "
            "after a warm-up that counts for the losses too",
        ),
        ("sent by the exchange", f"{soak.events_sent:,} in {soak.seconds_sent} s of the market"),
        ("handed on", f"{forwarded}; the producer reconnected {soak.reconnects} times"),
        (
            "distinct (symbol, second) in ClickHouse",
            f"{soak.rows:,}: lost {soak.lost:,}, incomplete seconds {soak.incomplete_seconds}",
        ),
        (
            "received by the producer → queryable",
            f"{_text(received)}; target p99 ≤ {P99_TARGET_SECONDS} s: {verdict}",
        ),
        ("due at the exchange (end of the second + 2 s) → queryable", _text(soak.due_to_queryable)),
        ("due at the exchange → received by the producer", _text(soak.due_to_received)),
    ]


def processes(soak: Soak) -> Lines:
    """CPU and memory of each process."""
    lines: Lines = []
    for name, cores in soak.census.cores().items():
        has_memory = name in soak.census.readings[0].resident
        memory = (
            [f"{size:,.0f}" for size in soak.census.megabytes(name)] if has_memory else [""] * 3
        )
        lines.append((name, f"{cores:.2f}", *memory))
    return lines


def machine(rounds: int, now: dt.datetime) -> str:
    """The machine on which the numbers were measured, in two lines."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), "
        f"Python {platform.python_version()}, {now:%Y-%m-%d}, {rounds} runs,\n"
        f"load average at the end {load}"
    )


def _text(lateness: Lateness) -> str:
    return f"p50 {lateness.p50:.2f} s, p99 {lateness.p99:.2f} s"
