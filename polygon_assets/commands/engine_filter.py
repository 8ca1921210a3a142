"""`engine-filter`: prints the filter as SQL, for teams that run Flink or ksqlDB.

Add an engine here; its statements belong to `provisioning.engine_filter`.
"""

from typing import TYPE_CHECKING

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.subscriptions import AcceptedSet


@click.group("engine-filter")
def engine_filter() -> None:
    """The filter as SQL of an engine, for your accepted set: docs/engines.md."""


@engine_filter.command()
def flink() -> None:
    """Print the job of Flink SQL for your brokers; it names the password's variable only."""
    from polygon_assets.provisioning.engine_filter import flink as engine

    settings = read_settings()
    if missing := missing_settings(settings, "kafka"):
        raise click.ClickException(not_set(missing))
    accepted = _accepted(settings)
    job = engine.Job(
        settings.kafka_bootstrap_servers, engine.kafka_options(settings), accepted.symbols
    )
    click.echo(engine.sql(job), nl=False)


@engine_filter.command()
def ksqldb() -> None:
    """Print the statements of ksqlDB."""
    from polygon_assets.provisioning.engine_filter import ksqldb as engine

    click.echo(engine.sql(_accepted(read_settings()).symbols), nl=False)


def _accepted(settings: Settings) -> "AcceptedSet":
    """The set in force, which is named on standard error: a later one needs a new job."""
    from polygon_assets.clients import subscription_store

    try:
        accepted = subscription_store.connect(settings).accepted()
    except subscription_store.SubscriptionStoreError as error:
        raise click.ClickException(str(error)) from error
    if accepted is None:
        raise click.ClickException("no set is in force: materialize s3/subscriptions")
    click.echo(f"for the accepted set {accepted.version}", err=True)
    return accepted
