"""The batch half's table: medians, the ratio to the baseline, each step's share of the whole way.

Add a column here; the steps and their measurement belong to `batch`.
"""

import statistics
from collections.abc import Sequence

from bench.batch import OURS, Timed

COLUMNS = (
    "step",
    "contender",
    "records",
    "seconds",
    "CPU s",
    "records/s",
    "baseline : ours",
    "share of the way",
)
NOT_ON_THE_WAY = ("read and load", "load again", "definitions", "make dev")
NOTES = """\
- Medians of {runs} runs, {days} trading days of {tickers:,} tickers. CPU is the CPU of our
  processes, without the servers.
- The connector reads from a server that replays recorded answers, because the simulated exchange
  computes a day for nearly a second on the first request.
- `baseline : ours` compares the time per record of a baseline with ours of the same run: above 1 we
  are faster, below 1 it is the part of our time that the bare minimum would take.
- The share is a step's part of reading, loading and all marts together. The marts' time is the
  embedded Snowflake's; Snowflake's will differ.
- PyAirbyte runs in an environment of its own (`--pyairbyte PYTHON`), because it pins duckdb 1.4.3
  and the embedded Snowflake needs 2.0.
- The connector takes the time: about 70 % of it goes into renaming fields in Airbyte's own runtime
  (a Jinja expression per record).
"""

Runs = Sequence[Sequence[Timed]]


def rows(runs: Runs) -> list[tuple[str, ...]]:
    """One row of text for each step and contender, in the order of the first run."""
    way = statistics.median(
        sum(timed.seconds for timed in run if _is_on_the_way(timed)) for run in runs
    )
    return [_row([run[place] for run in runs], runs, way) for place in range(len(runs[0]))]


def _row(samples: Sequence[Timed], runs: Runs, way: float) -> tuple[str, ...]:
    first = samples[0]
    seconds = statistics.median(timed.seconds for timed in samples)
    return (
        first.step,
        first.contender,
        f"{first.records:,}",
        f"{seconds:.2f}",
        f"{statistics.median(timed.cpu for timed in samples):.2f}",
        f"{first.records / seconds:,.0f}" if first.records > 1 else "",
        "" if first.contender == OURS else f"{_two_digits(_ratio(first, runs)):,g} : 1",
        f"{seconds / way:.0%}" if _is_on_the_way(first) else "",
    )


def _ratio(baseline: Timed, runs: Runs) -> float:
    """Time per record against ours of the same step and run; the median of the runs."""
    ratios = []
    for run in runs:
        ours, other = (
            next(timed for timed in run if (timed.step, timed.contender) == (baseline.step, name))
            for name in (OURS, baseline.contender)
        )
        ratios.append(ours.per_second / other.per_second)
    return statistics.median(ratios)


def _two_digits(ratio: float) -> float:
    return float(f"{ratio:.2g}")


def _is_on_the_way(timed: Timed) -> bool:
    return timed.contender == OURS and not timed.step.startswith(NOT_ON_THE_WAY)
