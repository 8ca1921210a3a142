"""`clickhouse`: compare ClickHouse's users, rights and quotas with their declaration, and apply it.

Add a command about the server's access here; the declaration and its differences belong to
`provisioning.clickhouse`, the tables to `migrate`.
"""

from typing import TYPE_CHECKING

import click

from polygon_assets.commands import object_plans
from polygon_assets.commands.endpoints import read_settings
from polygon_assets.commands.plan_options import yes_option
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.provisioning.object_plan import ObjectPlan


@click.group()
def clickhouse() -> None:
    """ClickHouse's users, roles, settings profiles and quotas, from their one declaration."""


@clickhouse.command()
def plan() -> None:
    """Show each object and how the server differs; exit code 2 if it does."""
    settings = read_settings()
    object_plans.exit_with(object_plans.show(lambda: _plans(settings)), applied=False)


@clickhouse.command()
@yes_option
def apply(yes: bool) -> None:
    """Show the plan and do it; exit code 2 if a person must change something else."""
    from polygon_assets.provisioning.clickhouse import server

    settings = read_settings()
    plans = object_plans.show(lambda: _plans(settings))
    object_plans.run(plans, lambda todo: server.apply(settings, todo), yes)
    object_plans.exit_with(plans, applied=True)


def _plans(settings: Settings) -> "list[ObjectPlan]":
    from polygon_assets.provisioning.clickhouse import declaration, differences, server

    roles = declaration.roles(settings)
    state, on_cluster = server.read(settings, roles)
    return differences.plan(roles, state, on_cluster)
