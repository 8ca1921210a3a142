"""The entry point `polygon-assets`: lists every command.

Register a new command here; what it reads, calls and prints belongs to its module in `commands`.
"""

import click

from polygon_assets.commands import (
    airbyte,
    clickhouse,
    connect,
    dead_letters,
    engine_filter,
    estimate,
    gaps,
    health,
    inspection,
    local,
    migrate,
    page,
    query,
    rebuild,
    snowflake,
    stream,
    subscriptions,
    topics,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """US stocks, live and complete, in one Dagster lineage graph."""


for command in (
    local.dev,
    local.stack,
    inspection.status,
    gaps.list_gaps,
    dead_letters.dead_letters,
    query.query,
    page.page,
    rebuild.rebuild,
    inspection.doctor,
    stream.stream,
    health.health,
    migrate.migrate,
    airbyte.airbyte,
    subscriptions.subscriptions,
    estimate.estimate,
    topics.topics,
    connect.connect,
    engine_filter.engine_filter,
    clickhouse.clickhouse,
    snowflake.snowflake,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
