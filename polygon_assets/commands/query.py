"""`query`: questions about the stored market, answered in the shell.

Add a command for a question of `polygon_assets.market` here; formats belong to `answer_formats`.
"""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from polygon_assets.commands.answer_formats import FORMATS, WATCHED, Format
from polygon_assets.commands.endpoints import read_settings

if TYPE_CHECKING:
    import pyarrow as pa

    from polygon_assets.market import Connection

Question = Callable[["Connection"], "pa.Table"]
Command = Callable[..., None]
WINDOW = dt.timedelta(minutes=5)
BARS = 60
"""How many bars are shown by default."""
WATCH_SECONDS = 1.0


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


class Day(click.ParamType["dt.date"]):
    """A trading day."""

    name = "day"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.date:
        try:
            return dt.date.fromisoformat(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}; write 2026-11-20", param, ctx)


@dataclass(frozen=True)
class Window:
    """The seconds in question, as far as they are given."""

    since: dt.datetime | None
    until: dt.datetime | None

    def at(self, now: dt.datetime, width: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
        """Start and end; without them, the `width` before `now`."""
        until = self.until or (self.since + width if self.since else now)
        return self.since or until - width, until


@dataclass(frozen=True)
class Output:
    """How an answer is printed, and whether again and again."""

    as_format: Format
    watch: bool

    def answer(self, question: Question) -> None:
        """Ask and print."""
        from polygon_assets import market
        from polygon_assets.commands.answer_formats import show

        if self.watch and self.as_format not in WATCHED:
            raise click.UsageError(f"--watch goes with --format {', '.join(WATCHED)}")
        try:
            with market.connect(read_settings()) as connection:
                if self.watch:
                    self._watch(question, connection)
                else:
                    show(question(connection), self.as_format)
        except market.MarketError as error:
            raise click.ClickException(str(error)) from error

    def _watch(self, question: Question, connection: "Connection") -> None:
        from rich.live import Live

        from polygon_assets.commands.answer_formats import as_json, rendered

        live = Live(auto_refresh=False) if self.as_format != "json" else None
        with suppress(KeyboardInterrupt), live or nullcontext():
            while True:
                answer = question(connection)
                if live:
                    live.update(rendered(answer, self.as_format), refresh=True)
                else:
                    click.echo(as_json(answer, indent=None), nl=False)
                time.sleep(WATCH_SECONDS)


def printed(*further: Format) -> Callable[[Command], Command]:
    """Options of every command, which it gets as `output`."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--format",
            "as_format",
            type=click.Choice([*FORMATS, *further]),
            default="table",
            show_default=True,
        )
        @click.option("--watch", is_flag=True, help="Ask again each second until Ctrl-C.")
        @wraps(command)
        def run(as_format: Format, watch: bool, **arguments: Any) -> None:
            command(output=Output(as_format, watch), **arguments)

        return run

    return decorate


def of_a_window(command: Command) -> Command:
    """The argument SYMBOL, and the options that bound its seconds, as `window`."""

    @click.argument("symbol")
    @click.option("--from", "since", type=Moment(), help="First second (market time).")
    @click.option("--to", "until", type=Moment(), help="End of the seconds, excluded.")
    @wraps(command)
    def run(since: dt.datetime | None, until: dt.datetime | None, **arguments: Any) -> None:
        command(window=Window(since, until), **arguments)

    return run


@click.group()
def query() -> None:
    """Ask what is stored: prices, bars, versions, gaps.

    Times are ISO 8601, in UTC without a zone.
    """


@query.command()
@click.argument("symbols", nargs=-1)
@printed()
def last(symbols: tuple[str, ...], output: Output) -> None:
    """The newest second of each of SYMBOLS, or of every symbol."""
    from polygon_assets import market

    output.answer(lambda asked: market.last(symbols, connection=asked))


@query.command()
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1))
@printed()
def movers(limit: int, output: Output) -> None:
    """The largest changes of a price within 10 s."""
    from polygon_assets import market

    output.answer(lambda asked: market.movers(limit, connection=asked))


@query.command()
@of_a_window
@click.option("--every", default="1m", show_default=True, help="Width: 1s, 10s, 5m, 1h, 1d, …")
@printed("chart")
def bars(symbol: str, window: Window, every: str, output: Output) -> None:
    """Bars of SYMBOL, each with its finality; by default the last 60. `--format chart` draws them.

    Bars of a day (`1d`) have the prices of regular hours, as the vendor's.
    """
    from polygon_assets import market

    width = dt.timedelta(seconds=BARS * market.EVERY.get(every, 24 * 3600))

    def ask(asked: "Connection") -> "pa.Table":
        start, end = window.at(asked.now(), width)
        return market.bars(symbol, start, end, every, connection=asked)

    output.answer(ask)


@query.command()
@of_a_window
@printed()
def delta(symbol: str, window: Window, output: Output) -> None:
    """Each second of SYMBOL with its change over 10 s; by default the last five minutes."""
    from polygon_assets import market

    def ask(asked: "Connection") -> "pa.Table":
        start, end = window.at(asked.now(), WINDOW)
        return market.delta(symbol, start, end, connection=asked)

    output.answer(ask)


@query.command("as-known-at")
@of_a_window
@click.option("--at", required=True, type=Moment(), help="The moment (wall time).")
@printed()
def as_known_at(symbol: str, at: dt.datetime, window: Window, output: Output) -> None:
    """Each second of SYMBOL as it was known at a moment, later corrections left out.

    By default the five minutes before the moment.
    """
    from polygon_assets import market

    start, end = window.at(at, WINDOW)
    output.answer(lambda asked: market.as_known_at(symbol, at, start, end, connection=asked))


@query.command()
@of_a_window
@printed()
def versions(symbol: str, window: Window, output: Output) -> None:
    """Every version of each second of SYMBOL, and whether the second may still change.

    By default the last five minutes.
    """
    from polygon_assets import market

    def ask(asked: "Connection") -> "pa.Table":
        start, end = window.at(asked.now(), WINDOW)
        return market.versions(symbol, start, end, connection=asked)

    output.answer(ask)


@query.command()
@click.argument("day", type=Day(), required=False)
@printed()
def day(day: dt.date | None, output: Output) -> None:
    """The bar of every symbol on a trading DAY; by default the newest one, today's so far."""
    from polygon_assets import market

    output.answer(lambda asked: market.day(day or asked.newest_day(), connection=asked))


@query.command()
@click.argument("symbol")
@click.argument("day", type=Day(), required=False)
@printed()
def coverage(symbol: str, day: dt.date | None, output: Output) -> None:
    """When SYMBOL traded on a trading DAY, when it was proved to be quiet, and what is unknown."""
    from polygon_assets import market

    def ask(asked: "Connection") -> "pa.Table":
        return market.coverage(symbol, day or asked.newest_day(), connection=asked)

    output.answer(ask)


@query.command()
@printed()
def gaps(output: Output) -> None:
    """Every gap with its state, oldest first."""
    from polygon_assets import market

    output.answer(lambda asked: market.gaps(connection=asked))


@query.command()
@click.argument("symbol")
@printed()
def adjusted(symbol: str, output: Output) -> None:
    """Every trading day of SYMBOL in the newest day's shares, from Snowflake."""
    from polygon_assets import market

    output.answer(lambda asked: market.adjusted(symbol, asked.settings))
