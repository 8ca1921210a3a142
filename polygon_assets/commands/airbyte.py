"""`airbyte`: compare the Airbyte workspace with its declaration, and apply it.

Add a command about the workspace here; what the workspace should contain belongs to
`batch.airbyte.declaration`, the differences to `batch.airbyte.workspace_plan`.
"""

import datetime as dt
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.commands.plan_options import EXIT_DIFFERENT, yes_option
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.batch.airbyte.declaration import Declaration
    from polygon_assets.batch.airbyte.workspace_plan import Plan
    from polygon_assets.clients.airbyte.api import AirbyteApi


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that a plan depends on."""
    start_date = click.option(
        "--start-date",
        type=click.DateTime(["%Y-%m-%d"]),
        help="First day that Airbyte loads if the source is new; by default the last trading day "
        "before today.",
    )
    write_secrets = click.option(
        "--write-secrets",
        is_flag=True,
        help="Write POLYGON_API_KEY and Snowflake's login, as after a rotation: Airbyte masks the "
        "stored ones, so a plan cannot see that they differ.",
    )
    return start_date(write_secrets(command))


@click.group()
def airbyte() -> None:
    """Airbyte's connector, source, destination and connections, from their one declaration."""


@airbyte.command()
@plan_options
def plan(start_date: dt.datetime | None, write_secrets: bool) -> None:
    """Show how the workspace differs from the declaration; exit code 2 if it does."""
    from polygon_assets.clients.airbyte.api import AirbyteApi
    from polygon_assets.clients.airbyte.transport import AirbyteError

    settings = read_settings()
    try:
        declared = _declaration(settings, start_date, write_secrets)
        with closing(AirbyteApi(settings)) as api:
            shown = _shown_plan(settings, api, declared)
    except AirbyteError as error:
        raise click.ClickException(settings.conceal(str(error))) from error
    sys.exit(EXIT_DIFFERENT if shown.has_differences else 0)


@airbyte.command()
@plan_options
@yes_option
def apply(start_date: dt.datetime | None, write_secrets: bool, yes: bool) -> None:
    """Show the differences and remove them; exit code 2 if a person must remove others."""
    from polygon_assets.clients.airbyte.api import AirbyteApi
    from polygon_assets.clients.airbyte.transport import AirbyteError

    settings = read_settings()
    try:
        declared = _declaration(settings, start_date, write_secrets)
        with closing(AirbyteApi(settings)) as api:
            shown = _shown_plan(settings, api, declared)
            if shown.changes and not yes:
                click.confirm(f"Change {len(shown.changes)} object(s)?", abort=True)
            _apply(api, declared, shown)
    except AirbyteError as error:
        raise click.ClickException(settings.conceal(str(error))) from error
    sys.exit(EXIT_DIFFERENT if shown.refusals else 0)


def _declaration(
    settings: Settings, start_date: dt.datetime | None, write_secrets: bool
) -> "Declaration":
    from polygon_assets.batch.airbyte.declaration import declaration
    from polygon_assets.market_clock import calendar_of

    calendar = calendar_of(settings)
    day = (
        start_date.date()
        if start_date
        else calendar.previous_day(calendar.day_of(dt.datetime.now(dt.UTC)))
    )
    return declaration(settings, day, writes_secrets=write_secrets)


def _shown_plan(settings: Settings, api: "AirbyteApi", declared: "Declaration") -> "Plan":
    """Read the workspace, print every difference, and return the plan."""
    from polygon_assets.batch.airbyte.provision import read_plan

    shown = read_plan(api, declared)
    click.echo(settings.conceal("\n".join(shown.lines())))
    if not shown.has_differences:
        click.echo("no difference")
    return shown


def _apply(api: "AirbyteApi", declared: "Declaration", shown: "Plan") -> None:
    """Make the changes, and prove by a second plan that none is left."""
    from polygon_assets.batch.airbyte.provision import apply as make
    from polygon_assets.batch.airbyte.provision import read_plan

    for change in make(api, shown):
        click.echo(f"done: {change.title} {'changed' if change.identifier else 'created'}")
    if not shown.changes:
        return
    left = read_plan(api, replace(declared, writes_secrets=False)).changes
    if left:
        raise click.ClickException(
            "Airbyte accepted the changes, but does not show them: "
            + "; ".join(map(str, left))
            + "; look at these objects in Airbyte"
        )
