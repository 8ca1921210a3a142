"""`python -m bench`: the throughput table, then the full market for some minutes; `python -m bench soak` runs only the latter.

Only the command line belongs here.
"""

import tempfile
from pathlib import Path

import click
from rich.console import Console

from bench import rounds, table
from bench.laboratory import laboratory

EVENTS, QUICK_EVENTS = 300_000, 20_000


@click.group(invoke_without_command=True)
@click.option("--runs", default=5, show_default=True, help="Rounds whose median counts.")
@click.option("--events", default=EVENTS, show_default=True)
@click.pass_context
def main(context: click.Context, runs: int, events: int) -> None:
    """Throughput against baselines."""
    if context.invoked_subcommand:
        return
    console = Console(width=150)
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder), events) as lab:
        for contender, results in rounds.run(lab, events, runs):
            console.print(contender.program, contender.title, results[contender][-1])
    console.print(table.to_table("t", table.COLUMNS, table.rows(results)))


if __name__ == "__main__":
    main()
