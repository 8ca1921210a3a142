"""`dead-letters`: lists what the programs refused, shows one letter, and replays letters.

Add a command about dead letters here; their display belongs to `inspection.dead_letters`, the
replay itself to the package `dead_letters`.
"""

import datetime as dt
import getpass
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.commands.plan_options import yes_option
from polygon_assets.serving.dead_letters import LETTER_STAGES, PROGRAM_NAMES, Letter, Selection
from polygon_assets.settings import Settings

Command = Callable[..., Any]
MOST_LETTERS = 100_000
LEAST_WIDTH = 140


class Moment(click.ParamType[dt.datetime]):
    """An ISO 8601 day or time; New York's without a zone, as the list shows times."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        from polygon_assets.inspection.dead_letters import moment

        try:
            return moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def filters(command: Command) -> Command:
    """The options that select letters; the command gets one Selection of them."""
    for option in (
        click.option("--until", type=Moment(), help="Refused before this time."),
        click.option("--since", type=Moment(), help="Refused at this time or later (New York)."),
        click.option("--reason", default="", metavar="TEXT", help="A part of the reason."),
        click.option("--stage", type=click.Choice(LETTER_STAGES), default=None),
        click.option("--program", type=click.Choice(PROGRAM_NAMES), default=None),
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show and replay what the programs refused (`market.dead_letters`)."""


@dead_letters.command("list")
@filters
@click.option("--replayed/--not-replayed", "is_replayed", default=None, help="Default: both kinds.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LETTERS),
    default=20,
    show_default=True,
    help="Newest letters to list.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts; times in UTC.")
def list_letters(is_replayed: bool | None, limit: int, as_json: bool, **chosen: Any) -> None:
    """Count the letters by reason, then list the newest ones."""
    from polygon_assets.inspection import InspectionError, tables
    from polygon_assets.inspection.dead_letters import SHOWN_REASONS, facts

    try:
        counts, letters = tables.refused(
            read_settings(), _selection(is_replayed=is_replayed, **chosen), SHOWN_REASONS, limit
        )
    except InspectionError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        shown = {"counts": [*map(facts, counts)], "letters": [*map(facts, letters)]}
        click.echo(json.dumps(shown, indent=2))
    elif counts:
        _print_tables(counts, letters)
    else:
        click.echo("no dead letter")


def _print_tables(counts: list[Any], letters: list[Letter]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from polygon_assets.inspection.dead_letters import (
        COUNT_COLUMNS,
        LETTER_COLUMNS,
        count_cells,
        letter_cells,
    )
    from polygon_assets.inspection.status_table import table

    def escaped(cells: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(escape, cells))

    # Narrower, or in a pipe, ids and times would be cut off.
    console = Console(width=max(Console().width, LEAST_WIDTH))
    console.print(table(COUNT_COLUMNS, [escaped(count_cells(count)) for count in counts]))
    console.print()
    console.print(table(LETTER_COLUMNS, [escaped(letter_cells(letter)) for letter in letters]))


@dead_letters.command("show")
@click.argument("letter_id")
@click.option("--json", "as_json", is_flag=True, help="For scripts; the bytes in base64.")
def show_letter(letter_id: str, as_json: bool) -> None:
    """Show all fields of a letter, its replays, and its bytes as text."""
    from polygon_assets.dead_letters.joined_parts import IncompleteLetterError, joined
    from polygon_assets.inspection import InspectionError, tables
    from polygon_assets.inspection import dead_letters as display

    try:
        stored = tables.dead_letter(read_settings(), letter_id)
    except InspectionError as error:
        raise click.ClickException(str(error)) from error
    if stored is None:
        raise click.ClickException(_no_letter(letter_id))
    letter, parts, replays = stored
    try:
        raw, damage = joined(parts), ""
    except IncompleteLetterError as error:
        raw, damage = b"".join(part.raw for part in parts), f"incomplete: {error}"
    if as_json:
        shown = display.facts(letter) | display.bytes_facts(raw)
        shown |= {"damage": damage, "replays": [*map(display.facts, replays)]}
        click.echo(json.dumps(shown, indent=2))
    else:
        lines = [*display.field_lines(letter), *display.replay_lines(replays)]
        click.echo("\n".join([*lines, *filter(None, [damage]), "", display.as_text(raw)]))


@dead_letters.command("replay")
@click.argument("ids", nargs=-1)
@filters
@click.option("--everything", is_flag=True, help="Every letter, if no id or filter is given.")
@click.option("--again", is_flag=True, help="Also letters that were replayed before.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LETTERS),
    default=10_000,
    show_default=True,
    help="At most so many, the oldest first.",
)
@yes_option
def replay_letters(
    ids: tuple[str, ...], everything: bool, again: bool, limit: int, yes: bool, **chosen: Any
) -> None:
    """Read the bytes of letters again and publish what the programs accept now.

    Replaying twice changes nothing: versions keep the time of the refusal. Exit code 1 if a letter
    failed.
    """
    selection = _selection(ids=ids, **chosen)
    if not selection.is_narrowed and not everything:
        raise click.UsageError("name letters by id or filter, or pass --everything")
    failed = _replay(_replay_settings(), selection, limit, again, yes)
    sys.exit(1 if failed else 0)


def _replay(settings: Settings, selection: Selection, limit: int, again: bool, yes: bool) -> int:
    """Replay after a confirmation; returns how many letters failed."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from polygon_assets.dead_letters.replay import Replayer, ReplayError, summary

    try:
        with closing(Replayer(settings, _person())) as replayer:
            letters = replayer.select(selection, limit, again=again)
            if unknown := set(selection.ids) - {letter.letter_id for letter in letters}:
                click.echo(f"left out, unknown or replayed before: {', '.join(sorted(unknown))}")
            if not letters:
                click.echo("no letter to replay")
                return 0
            if not yes:
                click.confirm(f"Replay {len(letters):,} letter(s)?", abort=True)
            outcomes = list(replayer.replay(letters, click.echo))
    except (ClickHouseError, ReplayError) as error:
        raise click.ClickException(str(error)) from error
    failures = [outcome for outcome in outcomes if outcome.outcome == "failed"]
    for outcome in failures:
        click.echo(f"{outcome.letter_id}: {outcome.error}", err=True)
    click.echo(summary(outcomes))
    return len(failures)


def _replay_settings() -> Settings:
    from polygon_assets.required_settings import missing_settings, not_set

    settings = read_settings()
    if missing := missing_settings(settings, "dead_letter_replay"):
        raise click.ClickException(not_set(missing))
    return settings


def _selection(program: str | None, stage: str | None, **others: Any) -> Selection:
    return Selection(program=program or "", stage=stage or "", **others)


def _no_letter(letter_id: str) -> str:
    return f"no letter has the id {letter_id!r}; `polygon-assets dead-letters list` shows the ids"


def _person() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"  # a container's user may have no name
    return f"{user}@{socket.gethostname()}"
