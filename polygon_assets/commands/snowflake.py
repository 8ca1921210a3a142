"""`snowflake`: compare a Snowflake account with what the project declares, and apply it.

Add a command about the account here; the declaration and its differences belong to
`provisioning.snowflake`, tables to `batch`.
"""

from typing import TYPE_CHECKING

import click

from polygon_assets.commands import object_plans
from polygon_assets.commands.endpoints import read_settings
from polygon_assets.commands.plan_options import yes_option
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.provisioning.object_plan import ObjectPlan

role_option = click.option(
    "--role",
    default="ACCOUNTADMIN",
    show_default=True,
    help="Role of SNOWFLAKE_USER for this session; it must see and manage the whole account.",
)
key_option = click.option(
    "--public-key",
    "keys",
    multiple=True,
    metavar="ROLE=FILE",
    help="Public key of a service user (loader, transformer, reader); may be repeated, and comes "
    "before SNOWFLAKE_PUBLIC_KEYS.",
)


@click.group()
def snowflake() -> None:
    """Snowflake's database, warehouse, roles, rights and service users."""


@snowflake.command()
@role_option
@key_option
def plan(role: str, keys: tuple[str, ...]) -> None:
    """Show each object and how the account differs; exit code 2 if it does."""
    settings = read_settings()
    object_plans.exit_with(object_plans.show(lambda: _plans(settings, role, keys)), applied=False)


@snowflake.command()
@role_option
@key_option
@yes_option
def apply(role: str, keys: tuple[str, ...], yes: bool) -> None:
    """Show the plan and do it; exit code 2 if a person must change something else."""
    from polygon_assets.provisioning.snowflake import server

    settings = read_settings()
    plans = object_plans.show(lambda: _plans(settings, role, keys))
    object_plans.run(plans, lambda todo: server.apply(settings, role, todo), yes)
    object_plans.exit_with(plans, applied=True)


def _plans(settings: Settings, role: str, keys: tuple[str, ...]) -> "list[ObjectPlan]":
    from polygon_assets.provisioning.snowflake import declaration, differences, public_keys, server

    entries = [entry for entry in settings.snowflake_public_keys.split(";") if entry.strip()]
    by_role = public_keys.read_keys([*entries, *keys], declaration.ROLES)
    declared = declaration.declare(settings, by_role)
    state = server.read(settings, role, declared)
    if state.account is None:
        click.echo(
            "note: this server has no warehouses, roles and users to manage; only database and "
            "schemas are compared"
        )
    return differences.plan(declared, state)
