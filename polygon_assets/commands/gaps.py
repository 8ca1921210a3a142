"""`gaps`: lists the intervals in which events may have been missed, and what became of them.

Add a command about the gap ledger here; reading it belongs to `inspection.gaps`, filling it to
`gap_filling`.
"""

import datetime as dt
import json

import click

from polygon_assets.commands.endpoints import read_settings


@click.command("gaps")
@click.option("--json", "as_json", is_flag=True, help="For scripts; times in UTC.")
@click.option("--all", "with_settled", is_flag=True, help="Also verified and waived gaps.")
def list_gaps(as_json: bool, with_settled: bool) -> None:
    """List the intervals in which events may have been missed, oldest first.

    Each with its start, end, cause, channels, state, and the rows that a fill added and corrected.
    """
    from rich.console import Console

    from polygon_assets.clients import market_clock
    from polygon_assets.inspection import InspectionError, gaps, streams
    from polygon_assets.inspection.status_table import table
    from polygon_assets.market_clock import calendar_of

    settings = read_settings()
    try:
        ledger, producer = gaps.ledger(settings), streams.heartbeats(settings).get("producer")
        clock = market_clock.connect(settings)
    except (InspectionError, market_clock.MarketClockError) as error:
        raise click.ClickException(str(error)) from error
    now = dt.datetime.now(dt.UTC)
    shown = ledger if with_settled else gaps.unsettled(ledger)
    rows = gaps.rows(shown, producer, calendar_of(settings).is_open(clock.market(now)), now)
    if as_json:
        click.echo(json.dumps([row.facts() for row in rows], indent=2))
    elif rows:
        Console().print(table(gaps.COLUMNS, [row.cells() for row in rows]))
        click.echo("\n".join(gaps.notes(rows)))
    else:
        click.echo("each gap is verified or waived; --all lists them" if ledger else "no gap")
