"""`plan` and `apply` of a server's objects, as `clickhouse` and `snowflake` show them.

Change how plans are printed and confirmed here; what is compared belongs to `provisioning`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence

import click

from polygon_assets.commands.plan_options import EXIT_DIFFERENT
from polygon_assets.provisioning.object_plan import ObjectPlan, ProvisioningError


def show(read: Callable[[], Sequence[ObjectPlan]]) -> Sequence[ObjectPlan]:
    """Print the plan of each object, and return the plans."""
    try:
        plans = read()
    except ProvisioningError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(map(str, plans)))
    return plans


def run(
    plans: Sequence[ObjectPlan],
    apply: Callable[[Sequence[ObjectPlan]], Iterator[ObjectPlan]],
    yes: bool,
) -> None:
    """Make the changes after a confirmation."""
    count = sum(item.has_changes for item in plans)
    if count and not yes:
        click.confirm(f"Make {count} change(s)?", abort=True)
    try:
        for item in apply(plans):
            click.echo(f"done: {item.name}")
    except ProvisioningError as error:
        raise click.ClickException(str(error)) from error


def exit_with(plans: Sequence[ObjectPlan], applied: bool) -> None:
    """Exit with code 2 if something differs still; objects that are `left` count only then."""
    different = any(item.outcome == "left" or (item.has_changes and not applied) for item in plans)
    sys.exit(EXIT_DIFFERENT if different else 0)
