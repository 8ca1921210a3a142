"""`page`: serve the live page.

Only the command line belongs here; the page belongs to `polygon_assets.page`.
"""

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.settings.page import PAGE_PORT


@click.command()
@click.option("--port", default=PAGE_PORT, show_default=True, help="Port of the page.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that other machines reach needs a login.",
)
def page(port: int, host: str) -> None:
    """Serve the live page: the market, one symbol, and whether to believe it.

    Other machines see it only with a login: set PAGE_PASSWORD, or PANEL_OAUTH_PROVIDER with its key
    and secret, and PAGE_COOKIE_SECRET. PAGE_URL is the address in their browsers.
    """
    from polygon_assets.page.server import PageError, login, serve

    settings = read_settings()
    try:
        login(settings, host)
    except PageError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"page on http://{host}:{port}")
    serve(settings, host, port)
