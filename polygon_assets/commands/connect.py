"""`connect`: the connectors of Kafka Connect that load ClickHouse in place of our sink.

Add a command about them here; the differences belong to `provisioning.connector_plan`, the requests
to `clients.kafka_connect`, what counts as well to `inspection.connectors`.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.commands.plan_options import EXIT_DIFFERENT, yes_option
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.clients.kafka_connect import ConnectorState, TaskState
    from polygon_assets.provisioning.connector_plan import ConnectorChange, ConnectorFile


files_argument = click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)


@click.group()
def connect() -> None:
    """ClickHouse's official sink in Kafka Connect, from the files of deploy/connect."""


@connect.command()
@files_argument
def plan(files: tuple[Path, ...]) -> None:
    """Show how Connect differs from the FILEs; exit code 2 if it does."""
    sys.exit(EXIT_DIFFERENT if _shown_changes(read_settings(), files) else 0)


@connect.command()
@files_argument
@yes_option
def apply(files: tuple[Path, ...], yes: bool) -> None:
    """Create or update the connector of each FILE, after showing what changes."""
    from polygon_assets.clients.kafka_connect import ConnectError, KafkaConnect

    settings = read_settings()
    changes = _shown_changes(settings, files)
    if changes and not yes:
        click.confirm(f"Change {len(changes)} connector(s)?", abort=True)
    for wanted, difference in changes:
        try:
            KafkaConnect(settings).put_config(wanted.name, wanted.config)
        except ConnectError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{'created' if difference.is_new else 'updated'} connector {wanted.name}")


@connect.command()
def status() -> None:
    """Print the state of each connector and task; exit code 1 if one does not run."""
    from polygon_assets.inspection import InspectionError, connectors

    settings = read_settings()
    try:
        by_name = connectors.connectors(settings)
    except InspectionError as error:
        raise click.ClickException(str(error)) from error
    for connector in by_name.values():
        click.echo("\n".join(_status_lines(connector)))
    sys.exit(1 if connectors.problems(by_name) else 0)


def _status_lines(connector: "ConnectorState") -> list[str]:
    lines = [_line(f"connector {connector.name}", connector)]
    return lines + [f"  {_line(f'task {task.id}', task)}" for task in connector.tasks]


def _line(what: str, state: "ConnectorState | TaskState") -> str:
    worker = f" on {state.worker}" if state.worker else ""
    return f"{what}: {state.state}{worker}" + (f": {state.cause}" if state.cause else "")


def _shown_changes(
    settings: Settings, paths: tuple[Path, ...]
) -> "list[tuple[ConnectorFile, ConnectorChange]]":
    """Read files and Connect, print every difference, and return it with its file."""
    from polygon_assets.clients.kafka_connect import ConnectError, KafkaConnect
    from polygon_assets.provisioning.connector_plan import (
        ConnectorFileError,
        change,
        read_file,
    )

    try:
        wanted = [read_file(path) for path in paths]
        _refuse_repetition([connector.name for connector in wanted])
        connect_ = KafkaConnect(settings)
        compared = [(each, change(each, connect_.config(each.name))) for each in wanted]
    except (ConnectorFileError, ConnectError) as error:
        raise click.ClickException(str(error)) from error
    changes = [(each, difference) for each, difference in compared if difference]
    lines = [settings.conceal(str(difference)) for _, difference in changes]
    click.echo("\n".join(lines) or "no difference")
    return changes


def _refuse_repetition(names: list[str]) -> None:
    """Two files of one connector would replace each other, with every call."""
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise click.ClickException(
            f"several files declare connector {', '.join(repeated)}; name the one to be in force"
        )
