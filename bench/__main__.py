"""`python -m bench`: the throughput table, the batch half's steps, the full market for minutes.

Only the command line belongs here; measurements belong to `rounds`, `batch`, `soak`, `repair`,
`failover`, `page` and `page_beside_streams`.
"""

import datetime as dt
import statistics
import tempfile
from collections.abc import Collection
from pathlib import Path

import click
from rich.console import Console

from bench import (
    batch,
    batch_table,
    failover,
    live,
    page,
    page_beside_streams,
    repair,
    report,
    rounds,
    soak,
    table,
)
from bench.data import FULL_MARKET_TICKERS
from bench.laboratory import laboratory
from bench.rounds import Results
from polygon_assets.local.launcher.servers import EMBEDDED, KAFKAS

EVENTS, QUICK_EVENTS = 300_000, 12_000
QUICK_MINUTES, QUICK_WARM_UP_SECONDS = 0.2, 5.0
SYMBOLS, QUICK_SYMBOLS = 1_000, 50
OUTAGE_SECONDS, QUICK_OUTAGE_SECONDS = 600.0, 5.0
KILLS, KILL = 5, "kill -9"
BESIDE_SECONDS = 120.0
VISIT_SECONDS, QUICK_VISIT_SECONDS, VISITORS, MILLION_ROWS = 300.0, 20.0, 10, 50
DAYS, TICKERS, QUICK_DAYS, QUICK_TICKERS = 10, 10_000, 2, 500

console = Console(width=150)
_kafka = click.option(
    "--kafka", type=click.Choice(sorted(KAFKAS)), default=EMBEDDED, show_default=True
)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--runs", default=5, show_default=True, help="Interleaved runs whose medians are shown."
)
@click.option("--minutes", default=5.0, show_default=True, help="Length of the soak at the end.")
@click.option(
    "--quick",
    is_flag=True,
    help="One small run and a short soak: shows that everything works, its numbers mean little.",
)
@_kafka
@click.option("--write", is_flag=True, help="Also write bench/RESULTS.md.")
@click.pass_context
def main(
    context: click.Context, runs: int, minutes: float, kafka: str, *, quick: bool, write: bool
) -> None:
    """Measure the stream programs, the whole path and the batch half, then run the full market."""
    if context.invoked_subcommand:
        return
    if quick:
        runs = 1
        sections = [
            _throughput(QUICK_EVENTS, runs),
            _batch(QUICK_DAYS, QUICK_TICKERS, runs),
            _repair(QUICK_SYMBOLS, QUICK_TICKERS, QUICK_EVENTS, QUICK_OUTAGE_SECONDS, kafka),
            _failover(1, kafka),
            _page(QUICK_VISIT_SECONDS, 2, 1),
            _page_beside_streams(QUICK_VISIT_SECONDS, 2, kafka),
            *_soak(QUICK_MINUTES, kafka, QUICK_WARM_UP_SECONDS),
        ]
    else:
        sections = [
            _throughput(EVENTS, runs),
            _batch(DAYS, TICKERS, runs),
            _repair(SYMBOLS, FULL_MARKET_TICKERS, EVENTS, OUTAGE_SECONDS, kafka),
            _failover(KILLS, kafka),
            _page(VISIT_SECONDS, VISITORS, MILLION_ROWS),
            _page_beside_streams(BESIDE_SECONDS, VISITORS, kafka),
            *_soak(minutes, kafka),
        ]
    if write:
        machine = report.machine(runs, dt.datetime.now(dt.UTC))
        head = f"# Benchmark\n\n{machine}. Made by `python -m bench --write`.\n"
        report.RESULTS.write_text("\n".join([head, *sections, report.NOTES]))


@main.command(name="throughput")
@click.option("--runs", default=5, show_default=True, help="Interleaved runs.")
@click.option(
    "--program", "programs", multiple=True, type=click.Choice(["producer", "filter", "sink"])
)
def throughput_command(runs: int, programs: tuple[str, ...]) -> None:
    """Measure only the stream programs: all, or each `--program`."""
    click.echo(_throughput(EVENTS, runs, programs))


@main.command(name="soak")
@click.option("--minutes", default=5.0, show_default=True)
@_kafka
def soak_command(minutes: float, kafka: str) -> None:
    """Run only the full market."""
    _soak(minutes, kafka)


@main.command(name="page")
@click.option("--seconds", default=VISIT_SECONDS, show_default=True, help="Visitors stay so long.")
@click.option("--visitors", default=VISITORS, show_default=True, help="Open tabs.")
@click.option(
    "--million-rows", default=MILLION_ROWS, show_default=True, help="Stored at the start."
)
@_kafka
def page_command(seconds: float, visitors: int, million_rows: int, kafka: str) -> None:
    """Measure only the live page, alone and beside the streams."""
    _page(seconds, visitors, million_rows)
    _page_beside_streams(min(seconds, BESIDE_SECONDS), visitors, kafka)


def _page(seconds: float, visitors: int, million_rows: int) -> str:
    with tempfile.TemporaryDirectory() as folder, console.status("filling the tables"):
        lines = list(page.run(Path(folder), seconds, visitors, million_rows))
    return _show("the live page beside the whole market", page.COLUMNS, lines)


def _page_beside_streams(seconds: float, visitors: int, kafka: str) -> str:
    with tempfile.TemporaryDirectory() as folder, console.status("starting"):
        lines = list(page_beside_streams.run(Path(folder), seconds, visitors, kafka))
    title = f"the live page beside the streams of the full market, {kafka} Kafka, one run"
    return _show(title, page.COLUMNS, lines)


@main.command(name="failover")
@click.option("--times", default=20, show_default=True, help="How often the leader is struck.")
@click.option(
    "--fault", type=click.Choice(sorted(failover.FAULTS)), default=KILL, show_default=True
)
@_kafka
def failover_command(times: int, fault: str, kafka: str) -> None:
    """Measure how long the market is unseen when the leading producer dies or hangs."""
    _failover(times, kafka, fault)


def _failover(times: int, kafka: str, fault: str = KILL) -> str:
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, console.status("starting") as status:
        for taken in failover.run(Path(folder), times, kafka, fault):
            seconds.append(taken)
            status.update(f"{len(seconds)} of {times}: {taken:.1f} s")
    each = ", ".join(f"{taken:.1f}" for taken in sorted(seconds))
    line = (
        f"{kafka} Kafka, {times} times: from {fault} to the standby's first delivered event "
        f"{statistics.median(seconds):.1f} s (median), {max(seconds):.1f} s at most; all: {each}"
    )
    console.print(line)
    return f"failover of the producer\n\n{line}\n"


@main.command(name="repair")
@click.option("--symbols", default=SYMBOLS, show_default=True, help="Symbols of the gap.")
@click.option(
    "--tickers",
    default=FULL_MARKET_TICKERS,
    show_default=True,
    help="Tickers of the live market beside the fill.",
)
@click.option("--events", default=EVENTS, show_default=True, help="Events of the rebuilt day.")
@click.option(
    "--outage-seconds", default=OUTAGE_SECONDS, show_default=True, help="How long the sink is down."
)
@_kafka
def repair_command(
    symbols: int, tickers: int, events: int, outage_seconds: float, kafka: str
) -> None:
    """Measure only filling a gap, rebuilding a day, and working off an outage of the sink."""
    _repair(symbols, tickers, events, outage_seconds, kafka)


def _repair(symbols: int, tickers: int, events: int, outage_seconds: float, kafka: str) -> str:
    with (
        tempfile.TemporaryDirectory() as filling,
        tempfile.TemporaryDirectory() as rebuilding,
        tempfile.TemporaryDirectory() as catching_up,
        console.status("starting") as status,
    ):
        # Each part is printed at its end: a failure of the next one, an hour later, loses nothing.
        status.update("rebuilding a day")
        rebuilt = _show(
            f"a day of {events:,} events is rebuilt, one run",
            repair.COLUMNS,
            repair.lines(repair.rebuild(Path(rebuilding), events)),
        )
        status.update("filling a gap")
        lines, note = repair.fill(Path(filling), symbols, tickers, kafka)
        filled = _show(
            f"a gap of {symbols:,} symbols is filled beside {tickers:,} live tickers, "
            f"{kafka} Kafka, one run",
            repair.COLUMNS,
            repair.lines(lines),
        )
        console.print(note)
        status.update("an outage of the sink")
        caught_up = _show(
            f"the sink was away for {outage_seconds:.0f} s, {kafka} Kafka, one run",
            repair.COLUMNS,
            repair.lines(repair.catch_up(Path(catching_up), outage_seconds, kafka)),
        )
    return f"{rebuilt}\n{filled}\n{note}\n\n{caught_up}"


@main.command(name="batch")
@click.option("--runs", default=3, show_default=True, help="Runs whose medians are shown.")
@click.option("--days", default=DAYS, show_default=True, help="Trading days.")
@click.option("--tickers", default=TICKERS, show_default=True)
@click.option(
    "--pyairbyte",
    default="",
    metavar="PYTHON",
    help="A Python that has the package `airbyte`: one more baseline.",
)
def batch_command(runs: int, days: int, tickers: int, pyairbyte: str) -> None:
    """Measure only the batch half, and print its table as Markdown too."""
    click.echo(_batch(days, tickers, runs, pyairbyte))


def _batch(days: int, tickers: int, runs: int, pyairbyte: str = "") -> str:
    samples: list[list[batch.Timed]] = []
    with console.status("starting") as status:
        for number in range(1, runs + 1):
            samples.append([])
            with tempfile.TemporaryDirectory() as folder:
                for timed in batch.run(Path(folder), days, tickers, pyairbyte):
                    samples[-1].append(timed)
                    status.update(f"run {number} of {runs}: after {timed.step}, {timed.contender}")
    title = (
        f"the batch half: {days} trading days of {tickers:,} tickers, step by step; "
        f"medians of {runs} runs"
    )
    return (
        _show(title, batch_table.COLUMNS, batch_table.rows(samples))
        + "\n"
        + batch_table.NOTES.format(runs=runs, days=days, tickers=tickers)
    )


def _throughput(events: int, runs: int, programs: Collection[str] = ()) -> str:
    results: Results = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        laboratory(Path(folder), events) as lab,
        console.status("starting") as status,
    ):
        for contender, results in rounds.run(lab, events, runs, programs):
            status.update(
                f"run {len(results[contender])} of {runs}: {contender.program}, {contender.title}"
            )
    title = table.TITLE.format(rounds=runs, events=events)
    return _show(title, table.COLUMNS, table.rows(results))


def _soak(minutes: float, kafka: str, warm_up_seconds: float = live.WARM_UP_SECONDS) -> list[str]:
    with (
        tempfile.TemporaryDirectory() as folder,
        console.status(f"the full market for {minutes:g} minutes on {kafka} Kafka"),
    ):
        outcome = soak.run(Path(folder), minutes * 60, warm_up_seconds, kafka)
    return [
        _show(
            f"the full market through everything, on {kafka} Kafka",
            report.FINDING_COLUMNS,
            report.findings(outcome),
        ),
        _show("its processes", report.PROCESS_COLUMNS, report.processes(outcome)),
    ]


def _show(title: str, columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """Print a table and return it as Markdown."""
    console.print(table.to_table(title, columns, lines))
    return f"{title}\n\n{table.to_markdown(columns, lines)}"


if __name__ == "__main__":
    main()
