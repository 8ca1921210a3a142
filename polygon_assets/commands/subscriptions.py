"""`subscriptions`: check the CSV of channels, and upload it.

Add a command about the CSV here; its rules belong to `polygon_assets.subscriptions`, and putting it
in force to the asset of `defs.assets.s3`.
"""

from pathlib import Path

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.settings import Settings

PATIENCE_SECONDS = 15
"""Short, because a person waits at the terminal; the asset retries for clients.polygon's 180 s."""


@click.group()
def subscriptions() -> None:
    """Check or replace the subscription CSV."""


@subscriptions.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Validate FILE against the vendor's reference data; changes nothing."""
    _checked_text(read_settings(), file)


@subscriptions.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def push(file: Path) -> None:
    """Validate FILE and upload it; then the asset s3/subscriptions puts it in force."""
    from polygon_assets.clients import subscription_store

    settings = read_settings()
    text = _checked_text(settings, file)
    try:
        etag = subscription_store.connect(settings).write_csv(text)
    except subscription_store.SubscriptionStoreError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"uploaded to s3://{settings.subscriptions_bucket}/{settings.subscriptions_key} "
        f"(ETag {etag})"
    )


def _checked_text(settings: Settings, file: Path) -> str:
    """The text of a valid CSV. Raises ClickException, which lists every bad line."""
    from polygon_assets.clients.polygon import PolygonRest
    from polygon_assets.clients.polygon_answers import PolygonApiError
    from polygon_assets.costs.quantities import expected_rate
    from polygon_assets.subscriptions import parse

    text = file.read_bytes().decode(errors="replace")
    click.echo(f"reading the reference data of {settings.polygon_rest_url}", err=True)
    try:
        parsed = parse(
            text, PolygonRest(settings, patience_seconds=PATIENCE_SECONDS).active_tickers()
        )
    except PolygonApiError as error:
        raise click.ClickException(str(error)) from error
    if parsed.bad_lines:
        raise click.ClickException(
            "\n".join([f"{file}: {len(parsed.bad_lines)} bad lines", *map(str, parsed.bad_lines)])
        )
    rate, rows = expected_rate(parsed.channels)
    click.echo(
        f"{len(parsed.channels)} channels, about {rate:,.0f} events/s and {rows:,} rows a day"
    )
    return text
