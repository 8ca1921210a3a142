"""`query`: print what the serving tables hold, as a table, JSON or CSV.

Add a command that prints a named query here; its SQL belongs to `serving/queries`.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.settings import Settings

WINDOW = dt.timedelta(minutes=5)
WIDEST = 10_000
Format = Literal["table", "json", "csv"]


class Moment(click.ParamType["dt.datetime"]):
    """An ISO 8601 time; UTC where it names no zone."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        try:
            moment = dt.datetime.fromisoformat(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}; write 2026-11-20T15:00:00 (UTC)", param, ctx)
        return moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC)


def print_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every query of one symbol to a command."""
    options = [
        click.option("--from", "since", type=Moment(), help="First second (market time)."),
        click.option("--to", "until", type=Moment(), help="End of the seconds, excluded."),
        click.option(
            "--format",
            "as_format",
            type=click.Choice(["table", "json", "csv"]),
            default="table",
            show_default=True,
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def query() -> None:
    """Print what ClickHouse holds of a symbol. Times are ISO 8601, in UTC without a zone."""


@query.command("as-known-at")
@click.argument("symbol")
@click.option("--at", required=True, type=Moment(), help="The moment (wall time).")
@print_options
def as_known_at(
    symbol: str,
    at: dt.datetime,
    since: dt.datetime | None,
    until: dt.datetime | None,
    as_format: Format,
) -> None:
    """Each second of SYMBOL as it was known at a moment, later corrections left out.

    By default the five minutes before the moment.
    """
    until = until or (since + WINDOW if since else at)
    window = {"symbol": symbol, "from": since or until - WINDOW, "to": until}
    _print("as_known_at", window | {"at": at}, as_format)


@query.command()
@click.argument("symbol")
@print_options
def versions(
    symbol: str, since: dt.datetime | None, until: dt.datetime | None, as_format: Format
) -> None:
    """Every version of each second of SYMBOL, and whether the second may still change.

    By default the last five minutes.
    """
    from polygon_assets.clients import market_clock

    settings = read_settings()
    try:
        now = market_clock.connect(settings).market(dt.datetime.now(dt.UTC))
    except market_clock.MarketClockError as error:
        raise click.ClickException(str(error)) from error
    until = until or (since + WINDOW if since else now)
    window = {"symbol": symbol, "from": since or until - WINDOW, "to": until}
    _print("versions", window | {"now": now}, as_format, settings)


def _print(
    name: str,
    parameters: Mapping[str, Any],
    as_format: Format,
    settings: Settings | None = None,
) -> None:
    answer = _answer(settings or read_settings(), name, parameters)
    if as_format == "table":
        _print_table(answer)
    else:
        click.echo(as_json(answer) if as_format == "json" else as_csv(answer), nl=False)


def _print_table(answer: "Answer") -> None:
    from rich.console import Console

    from polygon_assets.inspection.status_table import table

    shown, console = (
        table(answer.columns, [tuple(map(_text, row)) for row in answer.rows]),
        Console(),
    )
    # The terminal breaks a long line; a narrow column would break each number.
    unbound = console.options.update(width=WIDEST)
    console.width = max(console.width, console.measure(shown, options=unbound).maximum)
    console.print(shown)
    click.echo(f"{len(answer.rows):,} rows")


@dataclass(frozen=True)
class Answer:
    """The rows of a query."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


def _answer(settings: Settings, name: str, parameters: Mapping[str, Any]) -> Answer:
    from contextlib import closing

    from clickhouse_connect.driver.exceptions import ClickHouseError

    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.queries import load

    try:
        with closing(clickhouse.connect(settings)) as client:
            result = client.query(load(name), parameters=dict(parameters), tz_mode="aware")
            return Answer(tuple(result.column_names), result.result_rows)
    except ClickHouseError as error:
        raise click.ClickException(
            f"ClickHouse at {settings.clickhouse_host}:{settings.clickhouse_port}: {error}"
        ) from error


def as_json(answer: Answer) -> str:
    """A list of objects; times are ISO 8601, exact decimals are text."""
    rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
    return json.dumps(rows, indent=2) + "\n"


def as_csv(answer: Answer) -> str:
    """A header and a line per row; NULL is empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(map(_plain, row) for row in answer.rows)
    return lines.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _text(value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" + (f".{value:%f}" if value.microsecond else "")
    return "-" if value is None else str(value)
