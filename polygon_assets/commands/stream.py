"""`stream`: run one of the stream programs, as Dagster's supervisor and each container do.

Its exit codes are documented here; what a program does, and how it ends, belongs to
`polygon_assets.streaming`.
"""

import sys

import click

from polygon_assets.messages import PROGRAMS, ProgramName
from polygon_assets.settings import SettingsError, load_settings


@click.command()
@click.argument("name", type=click.Choice(PROGRAMS))
def stream(name: ProgramName) -> None:
    """Run one stream program until SIGTERM or SIGINT.

    Exit codes: 0 drained, 1 crashed, 10 wrong key, 11 the plan lacks the data, 12 unusable
    settings (also those that Kafka refuses), 13 not drained in time, 14 the vendor gave an unknown
    answer to the key.
    """
    from importlib import import_module

    from polygon_assets.streaming.program import EXIT_BAD_SETTINGS, run_program

    try:
        settings = load_settings()
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_BAD_SETTINGS)
    program = import_module(f"polygon_assets.streaming.{name}")
    sys.exit(run_program(name, settings, program.run))
