"""`dev` and `stack`: the embedded stack on this machine, with Dagster or without it.

Add a command that needs the `local` extra here; what it starts belongs to `local.launcher`, and the
commands that production has too belong to the other modules.
"""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from polygon_assets.commands.endpoints import DATA, DATA_VARIABLE

PROJECT = Path(__file__).parents[2]


def exchange_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the simulated exchange, and the folder of all data, to a command."""
    options = [
        click.option(
            "--data",
            default=DATA,
            type=click.Path(path_type=Path),
            show_default=True,
            help="Folder of all data and logs.",
        ),
        click.option(
            "--replay", metavar="DATE", help="Replay a past trading day instead of a live market."
        ),
        click.option(
            "--replay-from", metavar="HH:MM", help="New York time at which the replay starts."
        ),
        click.option("--speed", type=float, help="How many times as fast the replay runs."),
        click.option("--seed", type=int, help="Seed of the market; each seed is another market."),
        click.option(
            "--tickers", type=int, help="Number of tickers that the exchange trades (10,000)."
        ),
        click.option("--activity", type=float, help="Scales how often everything trades (1.0)."),
        click.option(
            "--kafka",
            type=click.Choice(["embedded", "apache"]),
            default="embedded",
            show_default=True,
            help="The broker: apache keeps its data, and needs Java 17 and (once) Maven.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@exchange_options
@click.option(
    "--port",
    default=3000,
    show_default=True,
    help="Port of the Dagster UI; the next free port if it is taken.",
)
@click.option(
    "--project",
    default=PROJECT,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of dagster.yaml and workspace.yaml, this checkout by default.",
)
@click.option(
    "--demonstration/--no-demonstration",
    default=True,
    show_default=True,
    help="In a new folder of data, also deliver yesterday of three symbols as a recorded day.",
)
def dev(
    data: Path, port: int, project: Path, kafka: str, *, demonstration: bool, **exchange: Any
) -> None:
    """Run the embedded stack and Dagster until Ctrl-C."""
    _run_locally(
        data,
        exchange,
        next_command=_status_command(data),
        project=project,
        ui_port=port,
        kafka=kafka,
        demonstration=demonstration,
    )


@click.group()
def stack() -> None:
    """The embedded stack without Dagster."""


@stack.command()
@exchange_options
def up(data: Path, kafka: str, **exchange: Any) -> None:
    """Run the servers until Ctrl-C."""
    _run_locally(data, exchange, next_command=_environment_command(data), kafka=kafka)


@stack.command()
@click.option("--data", default=DATA, type=click.Path(path_type=Path), show_default=True)
def env(data: Path) -> None:
    """Print the variables of the running stack, for eval "$(polygon-assets stack env)"."""
    from polygon_assets.local.launcher.environment import shell_lines
    from polygon_assets.local.launcher.state import StackNotRunningError, read_environment

    try:
        variables = read_environment(data)
    except StackNotRunningError as error:
        raise click.ClickException(str(error)) from error
    lines = shell_lines({**variables, DATA_VARIABLE: str(data.resolve())}, os.environ)
    click.echo(
        "\n".join(
            f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
            for name, value in lines
        )
    )


def _status_command(data: Path) -> str:
    """A line for any other shell that prints the status of the stack with this folder of data."""
    if data.resolve() == DATA.resolve():
        return f"cd {shlex.quote(str(Path.cwd()))} && {_this_command()} status"
    return f"{_environment_command(data)} && {_this_command()} status"


def _environment_command(data: Path) -> str:
    """A line for any other shell that sets the variables of the stack with this folder of data."""
    command = f"{_this_command()} stack env --data {shlex.quote(str(data))}"
    return f'cd {shlex.quote(str(Path.cwd()))} && eval "$({command})"'


def _this_command() -> str:
    """The shell command that starts this program again, without its arguments."""
    if Path(sys.argv[0]).name == "polygon-assets":
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m polygon_assets.cli"


def _run_locally(data: Path, exchange: dict[str, Any], **dev: Any) -> None:
    from polygon_assets.local.broker import BrokerError
    from polygon_assets.local.launcher import dev as local
    from polygon_assets.local.launcher.ports import NoFreePortError
    from polygon_assets.local.launcher.private_files import UnusableFolderError
    from polygon_assets.local.launcher.replay import ReplayError
    from polygon_assets.local.launcher.stack import ServerFailedError
    from polygon_assets.local.launcher.state import StackRunningError

    options = [
        part
        for name, value in exchange.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    try:
        local.run(data, options, **dev)
    except (
        BrokerError,
        NoFreePortError,
        ReplayError,
        ServerFailedError,
        StackRunningError,
        UnusableFolderError,
    ) as error:
        raise click.ClickException(str(error)) from error
