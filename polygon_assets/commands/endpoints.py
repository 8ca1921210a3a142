"""The settings that a command uses: the environment's, or those of the stack in this folder.

Change here how a command finds its endpoints; the settings themselves belong to `settings`, and the
file that a running stack leaves in its folder to `local.launcher.state`.
"""

from pathlib import Path

import click

from polygon_assets.settings import ENDPOINTS, Settings, SettingsError, load_settings

DATA = Path(".local")
"""The folder of all data and logs of the embedded stack, unless `--data` names another."""


def read_settings() -> Settings:
    """The settings alone, for a command that needs no folder."""
    return read_endpoints()[0]


def read_endpoints() -> tuple[Settings, Path | None]:
    """The environment's settings, or those of the running stack and its folder.

    The stack that runs in this folder counts only if the environment names no endpoint.
    """
    from polygon_assets.local.launcher.environment import clean_this_process
    from polygon_assets.local.launcher.state import StackNotRunningError, read_environment

    try:
        settings = load_settings()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    if settings.model_fields_set & ENDPOINTS:
        click.echo("using the endpoints that the environment names", err=True)
        return settings, None
    try:
        variables = read_environment(DATA)
    except StackNotRunningError:
        click.echo(
            "using production's defaults: no endpoint is set, and no stack runs in "
            f"{DATA.resolve()}",
            err=True,
        )
        return settings, None
    click.echo(f"using the stack that runs in {DATA.resolve()}: no endpoint is set", err=True)
    clean_this_process()
    return Settings.model_validate({name.lower(): value for name, value in variables.items()}), DATA
