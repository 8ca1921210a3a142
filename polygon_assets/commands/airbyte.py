"""`airbyte`: commands that change the Airbyte workspace.

Add a command about the workspace here; what the workspace should contain belongs to
`batch.airbyte.provision`.
"""

import datetime as dt

import click

from polygon_assets.commands.endpoints import read_settings


@click.group()
def airbyte() -> None:
    """The Airbyte workspace."""


@airbyte.command()
@click.option(
    "--start-date",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day that Airbyte loads if the source is new; by default the last trading day "
    "before today.",
)
def provision(start_date: dt.datetime | None) -> None:
    """Create what is missing of connector, source, destination and connections; update the rest."""
    from polygon_assets.batch.airbyte.provision import provision as make
    from polygon_assets.clients.airbyte.transport import AirbyteError
    from polygon_assets.market_clock import calendar_of

    settings = read_settings()
    calendar = calendar_of(settings)
    day = (
        start_date.date()
        if start_date
        else calendar.previous_day(calendar.day_of(dt.datetime.now(dt.UTC)))
    )
    try:
        result = make(settings, day)
    except AirbyteError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(result.changes) or "up to date")
