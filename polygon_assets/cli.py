"""The `polygon-assets` command: reads the settings, calls the part that does the work, prints what came of it.

No logic of its own belongs here. Imports stand inside the commands, so that `--help` and each stream program load only what they use.
"""

import datetime as dt
import sys
from pathlib import Path

import click

from polygon_assets.settings import Settings, SettingsError, load_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """US stocks, live and complete, in one Dagster lineage graph."""


@main.command()
@click.argument("name", type=click.Choice(["producer", "filter", "sink"]))
def stream(name: str) -> None:
    """Run one stream program until SIGTERM or SIGINT.

    Exit codes: 0 drained, 10 wrong key, 11 the plan lacks the data, 12 unusable settings, 13 not drained in time.
    """
    from importlib import import_module

    from polygon_assets.streaming.program import EXIT_BAD_SETTINGS, run_program

    try:
        settings = load_settings()
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_BAD_SETTINGS)
    program = import_module(f"polygon_assets.streaming.{name}")
    sys.exit(run_program(name, settings, program.run))  # type: ignore[arg-type]  # click has checked the name


@main.command()
def migrate() -> None:
    """Bring database `market` in ClickHouse up to date."""
    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.migrate import MigrationError
    from polygon_assets.serving.migrate import migrate as apply_migrations

    settings = _settings()
    try:
        names = apply_migrations(clickhouse.connect(settings), dt.datetime.now(dt.UTC))
    except MigrationError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(f"applied {name}" for name in names) or "up to date")


@main.group()
def subscriptions() -> None:
    """Check or replace the subscription CSV."""


@subscriptions.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Validate FILE against the vendor's reference data; changes nothing."""
    _checked_text(_settings(), file)


@subscriptions.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def push(file: Path) -> None:
    """Validate FILE and upload it; the asset s3/subscriptions then puts it in force."""
    from polygon_assets.clients import subscription_store

    settings = _settings()
    text = _checked_text(settings, file)
    etag = subscription_store.connect(settings).write_csv(text)
    click.echo(f"uploaded to s3://{settings.subscriptions_bucket}/{settings.subscriptions_key} (ETag {etag})")


def _checked_text(settings: Settings, file: Path) -> str:
    """The text of a valid CSV; ends the command naming each bad line otherwise."""
    from polygon_assets.clients.polygon import PolygonRest
    from polygon_assets.subscriptions import estimate, parse

    text = file.read_bytes().decode(errors="replace")
    parsed = parse(text, PolygonRest(settings).active_tickers())
    if parsed.bad_lines:
        raise click.ClickException("\n".join([f"{file}: {len(parsed.bad_lines)} bad lines", *map(str, parsed.bad_lines)]))
    cost = estimate(parsed.channels)
    click.echo(f"{len(parsed.channels)} channels, about {cost.events_per_second:,.0f} events/s and {cost.rows_per_day:,} rows a day")
    return text


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
