"""`health`: ask a stream program on this machine whether it is alive, as a container's check.

Its exit codes are documented here; where a program answers belongs to `inspection.probe`.
"""

import sys

import click

from polygon_assets.messages import PROGRAMS, ProgramName
from polygon_assets.settings import SettingsError, load_settings


@click.command()
@click.argument("name", type=click.Choice(PROGRAMS))
@click.option("--ready", is_flag=True, help="Ask whether it does its work, not only if it lives.")
def health(name: ProgramName, ready: bool) -> None:
    """Ask a stream program on this machine whether it is alive.

    It needs the program's METRICS_PORT. Exit codes: 0 yes, 1 no, or no answer.
    """
    from polygon_assets.inspection import probe

    try:
        is_well, words = probe.ask(load_settings(), name, probe.READY if ready else probe.ALIVE)
    except (SettingsError, probe.ProbeError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(words)
    sys.exit(0 if is_well else 1)
