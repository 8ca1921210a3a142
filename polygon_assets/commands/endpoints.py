"""The settings that a command uses: the environment's, or those of the stack in this folder.

Change here how a command finds its endpoints; the settings themselves belong to `settings`, and the
file that a running stack leaves in its folder to `local.launcher.state`.
"""

import os
from pathlib import Path

import click

from polygon_assets.settings import ENDPOINTS, Settings, SettingsError, load_settings

DATA = Path(".local")
"""The folder of all data and logs of the embedded stack, unless `--data` names another."""
DATA_VARIABLE = "POLYGON_ASSETS_STACK_DATA"
"""Set by `stack env`: the folder of the stack whose endpoints the environment has."""


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
        folder = _folder_of_the_environment()
        shown = f": the stack that runs in {folder.resolve()}" if folder else ""
        click.echo(f"using the endpoints that the environment names{shown}", err=True)
        return settings, folder
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


def _folder_of_the_environment() -> Path | None:
    """The folder of the running stack to which every variable of the environment leads."""
    from polygon_assets.local.launcher.state import StackNotRunningError, read_environment

    for folder in (Path(os.environ.get(DATA_VARIABLE, DATA)), DATA):
        try:
            variables = read_environment(folder)
        except StackNotRunningError:
            continue
        if variables.items() <= os.environ.items():
            return folder
    return None
