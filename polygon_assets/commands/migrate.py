"""`migrate`: create what Kafka and ClickHouse lack, before the programs start.

Add another store's preparation here; topics belong to `streaming.create_topics`, migrations to
`serving.migrate`, and the Airbyte workspace to the command `airbyte apply`.
"""

import datetime as dt

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.required_settings import missing_settings, not_set

MIGRATION_SECONDS = 6 * 3600
"""A migration may read every stored second."""


@click.command()
def migrate() -> None:
    """Create the missing Kafka topics, and bring database `market` in ClickHouse up to date."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.migrate import MigrationError
    from polygon_assets.serving.migrate import migrate as apply_migrations
    from polygon_assets.serving.table_layout import TableLayout, TableLayoutError
    from polygon_assets.serving.version_retention import set_retention
    from polygon_assets.streaming.create_topics import TopicError, create_missing_topics

    settings = read_settings()
    if not settings.clickhouse_host:
        raise click.ClickException(not_set(missing_settings(settings, "sink")))
    try:
        topics = create_missing_topics(settings) if settings.kafka_bootstrap_servers else None
        client = clickhouse.connect(settings, answer_timeout_seconds=MIGRATION_SECONDS)
        layout = TableLayout.of(settings)
        names = apply_migrations(client, dt.datetime.now(dt.UTC), layout=layout)
        days = settings.stock_versions_days
        is_retention_new = set_retention(client, days)
    except (ClickHouseError, MigrationError, TableLayoutError, TopicError) as error:
        raise click.ClickException(str(error)) from error
    if topics is None:
        click.echo(f"created no topic; {not_set(['KAFKA_BOOTSTRAP_SERVERS'])}")
    changes = [f"created topic {topic}" for topic in topics or ()]
    changes += [f"applied {name}" for name in names]
    if is_retention_new:
        changes.append(
            f"market.stock_versions keeps versions {f'{days} days' if days else 'for ever'}"
        )
    click.echo("\n".join(changes) or "up to date")
