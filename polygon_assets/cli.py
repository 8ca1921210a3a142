"""The `polygon-assets` command: reads the settings, calls the part that works, prints the result.

Add a command here; its logic belongs to the part that it calls. Imports are inside the commands, so
that `--help` and each stream program load only what they use.
"""

import datetime as dt
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click

from polygon_assets.messages import PROGRAMS, ProgramName
from polygon_assets.settings import ENDPOINTS, Settings, SettingsError, load_settings

DATA = Path(".local")
PATIENCE_SECONDS = 15
"""Short, because a person waits at the terminal; the asset retries for clients.polygon's 180 s."""
WATCH_SECONDS = 2.0
PROJECT = Path(__file__).parents[1]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """US stocks, live and complete, in one Dagster lineage graph."""


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
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
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
def dev(data: Path, port: int, project: Path, **exchange: Any) -> None:
    """Run the embedded stack and Dagster until Ctrl-C."""
    next_command = _status_command(data)
    _run_locally(data, exchange, next_command=next_command, project=project, ui_port=port)


@main.group()
def stack() -> None:
    """The embedded stack without Dagster."""


@stack.command()
@exchange_options
def up(data: Path, **exchange: Any) -> None:
    """Run the servers until Ctrl-C."""
    _run_locally(data, exchange, next_command=_environment_command(data))


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
    lines = shell_lines(variables, os.environ)
    click.echo(
        "\n".join(
            f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
            for name, value in lines
        )
    )


@main.command()
@click.option(
    "--json", "as_json", is_flag=True, help="For scripts; with --watch, one line per check."
)
@click.option("--watch", is_flag=True, help="Check again every two seconds until Ctrl-C.")
def status(as_json: bool, watch: bool) -> None:
    """Show each part's reachability, rates, lag, newest event and rows.

    Exit code 1 if something is unhealthy.
    """
    from polygon_assets.inspection.status import Status

    settings, data = _endpoints()
    read_facts = Status(settings, data, _server_restarts(data) if data else {}).facts
    if watch:
        _watch(read_facts, as_json)
    facts = read_facts(dt.datetime.now(dt.UTC))
    _show(facts, as_json)
    sys.exit(0 if facts["healthy"] else 1)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console

    from polygon_assets.inspection.status_table import render

    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        Console().print(render(facts))


def _watch(read_facts: Callable[[dt.datetime], dict[str, Any]], as_json: bool) -> NoReturn:
    from rich.live import Live

    from polygon_assets.inspection.status_table import render

    try:
        with nullcontext() if as_json else Live(auto_refresh=False) as live:
            while True:
                facts = read_facts(dt.datetime.now(dt.UTC))
                if live:
                    live.update(render(facts), refresh=True)
                else:
                    click.echo(json.dumps(facts))
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        sys.exit(0)


@main.command("gaps")
@click.option("--json", "as_json", is_flag=True, help="For scripts; times in UTC.")
@click.option("--all", "with_settled", is_flag=True, help="Also verified and waived gaps.")
def list_gaps(as_json: bool, with_settled: bool) -> None:
    """List the intervals in which events may have been missed, oldest first.

    Each with its start, end, cause, channels, state, and the rows that a fill added and corrected.
    """
    from rich.console import Console

    from polygon_assets.clients import market_clock
    from polygon_assets.inspection import EvidenceError, gaps, streams
    from polygon_assets.inspection.status_table import table
    from polygon_assets.market_clock import calendar_of

    settings = _settings()
    try:
        ledger, producer = gaps.ledger(settings), streams.heartbeats(settings).get("producer")
        clock = market_clock.connect(settings)
    except (EvidenceError, market_clock.MarketClockError) as error:
        raise click.ClickException(str(error)) from error
    now = dt.datetime.now(dt.UTC)
    shown = ledger if with_settled else gaps.unsettled(ledger)
    rows = gaps.rows(shown, producer, calendar_of(settings).is_open(clock.market(now)), now)
    if as_json:
        click.echo(json.dumps([row.facts() for row in rows], indent=2))
    elif rows:
        Console().print(table(gaps.COLUMNS, [row.cells() for row in rows]))
        click.echo("\n".join(gaps.notes(rows)))
    else:
        click.echo("each gap is verified or waived; --all lists them" if ledger else "no gap")


@main.command()
def doctor() -> None:
    """Check the settings and each endpoint, and show how to get what is missing.

    Exit code 1 if anything is missing.
    """
    from polygon_assets.batch.airbyte.connector import CONNECTIONS
    from polygon_assets.inspection import doctor as checks

    settings, data = _endpoints()
    findings = checks.examine(settings, data or DATA, CONNECTIONS)
    for finding in findings:
        click.echo(f"{'ok     ' if finding.ok else 'MISSING'} {finding.name}: {finding.message}")
        if not finding.ok:
            click.echo(f"        {finding.cure}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.command()
@click.argument("name", type=click.Choice(PROGRAMS))
def stream(name: ProgramName) -> None:
    """Run one stream program until SIGTERM or SIGINT.

    Exit codes: 0 drained, 10 wrong key, 11 the plan lacks the data, 12 unusable settings,
    13 not drained in time, 14 the vendor gave an unknown answer to the key.
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


@main.command()
def migrate() -> None:
    """Create the missing Kafka topics, and bring database `market` in ClickHouse up to date."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from polygon_assets.clients import clickhouse
    from polygon_assets.serving.migrate import MigrationError
    from polygon_assets.serving.migrate import migrate as apply_migrations
    from polygon_assets.streaming.create_topics import TopicError, create_missing_topics

    settings = _settings()
    try:
        topics = create_missing_topics(settings) if settings.kafka_bootstrap_servers else None
        names = apply_migrations(clickhouse.connect(settings), dt.datetime.now(dt.UTC))
    except (ClickHouseError, MigrationError, TopicError) as error:
        raise click.ClickException(str(error)) from error
    if topics is None:
        click.echo("created no topic, because KAFKA_BOOTSTRAP_SERVERS is not set")
    changes = [f"created topic {topic}" for topic in topics or ()]
    changes += [f"applied {name}" for name in names]
    click.echo("\n".join(changes) or "up to date")


@main.group()
def airbyte() -> None:
    """The Airbyte workspace."""


@airbyte.command()
@click.option(
    "--start-date",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day that Airbyte loads if the source is new; by default the last trading day "
    "before today.",
)
def provision(start_date: dt.datetime | None) -> None:
    """Create or update connector, source, destination and connections where they differ."""
    from polygon_assets.batch.airbyte.provision import provision as make
    from polygon_assets.clients.airbyte import AirbyteError
    from polygon_assets.market_clock import calendar_of

    settings = _settings()
    calendar = calendar_of(settings)
    day = (
        start_date.date()
        if start_date
        else calendar.previous_day(calendar.day_of(dt.datetime.now(dt.UTC)))
    )
    try:
        result = make(settings, day)
    except AirbyteError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(result.changes) or "up to date")


@main.group()
def subscriptions() -> None:
    """Check or replace the subscription CSV."""


@subscriptions.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Validate FILE against the vendor's reference data; changes nothing."""
    _checked_text(_settings(), file)


@subscriptions.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def push(file: Path) -> None:
    """Validate FILE and upload it; then the asset s3/subscriptions puts it in force."""
    from polygon_assets.clients import subscription_store

    settings = _settings()
    text = _checked_text(settings, file)
    try:
        etag = subscription_store.connect(settings).write_csv(text)
    except subscription_store.SubscriptionStoreError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"uploaded to s3://{settings.subscriptions_bucket}/{settings.subscriptions_key} "
        f"(ETag {etag})"
    )


def _checked_text(settings: Settings, file: Path) -> str:
    """The text of a valid CSV. Raises ClickException, which lists every bad line."""
    from polygon_assets.clients.polygon import PolygonApiError, PolygonRest
    from polygon_assets.subscriptions import estimate, parse

    text = file.read_bytes().decode(errors="replace")
    click.echo(f"reading the reference data of {settings.polygon_rest_url}", err=True)
    try:
        parsed = parse(
            text, PolygonRest(settings, patience_seconds=PATIENCE_SECONDS).active_tickers()
        )
    except PolygonApiError as error:
        raise click.ClickException(str(error)) from error
    if parsed.bad_lines:
        raise click.ClickException(
            "\n".join([f"{file}: {len(parsed.bad_lines)} bad lines", *map(str, parsed.bad_lines)])
        )
    cost = estimate(parsed.channels)
    click.echo(
        f"{len(parsed.channels)} channels, about {cost.events_per_second:,.0f} events/s and "
        f"{cost.rows_per_day:,} rows a day"
    )
    return text


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
    """The command as this process was started."""
    if Path(sys.argv[0]).name == "polygon-assets":
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m polygon_assets.cli"


def _run_locally(data: Path, exchange: dict[str, Any], **dev: Any) -> None:
    from polygon_assets.local.launcher import dev as local
    from polygon_assets.local.launcher.ports import NoFreePortError
    from polygon_assets.local.launcher.replay import ReplayError
    from polygon_assets.local.launcher.stack import ServerFailedError
    from polygon_assets.local.launcher.state import StackRunningError, UnusableFolderError

    options = [
        part
        for name, value in exchange.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    try:
        local.run(data, options, **dev)
    except (
        NoFreePortError,
        ReplayError,
        ServerFailedError,
        StackRunningError,
        UnusableFolderError,
    ) as error:
        raise click.ClickException(str(error)) from error


def _server_restarts(data: Path) -> dict[str, int]:
    from polygon_assets.local.launcher.state import read_restarts

    return read_restarts(data)


def _settings() -> Settings:
    return _endpoints()[0]


def _endpoints() -> tuple[Settings, Path | None]:
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


if __name__ == "__main__":
    main()
