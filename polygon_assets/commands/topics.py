"""`topics`: compare Kafka's topics, rights and quotas with their declaration, and apply it.

Add a command about the cluster's set-up here; the declaration belongs to `polygon_assets.topics`,
the differences to `provisioning.topic_plan`.
"""

import sys
from typing import TYPE_CHECKING

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.commands.plan_options import EXIT_DIFFERENT, yes_option
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.provisioning.topic_plan import Declaration, Plan


principal_option = click.option(
    "--principal",
    "principals",
    multiple=True,
    metavar="ROLE=PRINCIPAL",
    help="A Kafka user whose ACLs and quotas are managed too, such as producer=User:sa-1; may be "
    "repeated, and comes before KAFKA_PRINCIPALS.",
)


@click.group()
def topics() -> None:
    """Kafka's topics, rights and quotas, from their one declaration."""


@topics.command()
@principal_option
def plan(principals: tuple[str, ...]) -> None:
    """Show how the cluster differs from the declaration; exit code 2 if it does."""
    settings = read_settings()
    declaration = _declaration(settings, principals)
    sys.exit(EXIT_DIFFERENT if _shown_plan(settings, declaration).has_differences else 0)


@topics.command()
@principal_option
@yes_option
def apply(principals: tuple[str, ...], yes: bool) -> None:
    """Show the differences and remove them; exit code 2 if a person must remove others."""
    from polygon_assets.provisioning import kafka_cluster

    settings = read_settings()
    declaration = _declaration(settings, principals)
    shown = _shown_plan(settings, declaration)
    if shown.changes and not yes:
        click.confirm(f"Make {len(shown.changes)} change(s)?", abort=True)
    try:
        for change in kafka_cluster.apply(settings, declaration, shown.changes):
            click.echo(f"done: {str(change).lstrip('+~ ')}")
    except kafka_cluster.KafkaClusterError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(EXIT_DIFFERENT if shown.refusals else 0)


def _declaration(settings: Settings, principals: tuple[str, ...]) -> "Declaration":
    from polygon_assets.provisioning.topic_plan import (
        Declaration,
        PrincipalsError,
        parse_principals,
    )
    from polygon_assets.topics import declared

    if missing := missing_settings(settings, "kafka"):
        raise click.ClickException(not_set(missing))
    entries = [entry for entry in settings.kafka_principals.split(";") if entry.strip()]
    try:
        by_role = parse_principals([*entries, *principals])
    except PrincipalsError as error:
        raise click.ClickException(str(error)) from error
    return Declaration(declared(settings), settings.kafka_replication_factor, by_role)


def _shown_plan(settings: Settings, declaration: "Declaration") -> "Plan":
    """Read the cluster, print every difference, and return the plan."""
    from polygon_assets.provisioning import kafka_cluster
    from polygon_assets.provisioning.topic_plan import plan as differences

    try:
        cluster = kafka_cluster.read(settings, declaration)
    except kafka_cluster.KafkaClusterError as error:
        raise click.ClickException(str(error)) from error
    result = differences(declaration, cluster)
    for note in (*cluster.notes, *result.notes):
        click.echo(f"note: {note}")
    lines = [*map(str, result.changes), *result.refusals]
    click.echo("\n".join(lines) or "no difference")
    return result
