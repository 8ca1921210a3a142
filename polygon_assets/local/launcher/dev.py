"""`polygon-assets dev`: the embedded stack and Dagster as one process tree that ends as a whole.

The servers are `stack`'s business; here is the order of things and what the person at the terminal is told.
"""

import datetime as dt
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from polygon_assets.clients import market_clock
from polygon_assets.inspection import (
    ClickHouseUnreachableError,
    WarehouseUnreachableError,
    tables,
    warehouse,
)
from polygon_assets.local.launcher.environment import clean_this_process
from polygon_assets.local.launcher.replay import dagster_home, refuse_unprovable, replay_of
from polygon_assets.local.launcher.revival import Revival
from polygon_assets.local.launcher.servers import dagster
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.market_clock import REVISION_WINDOW, calendar_of, replay_begins
from polygon_assets.settings import Settings

AGGREGATES = "market.stock_aggregates"
LOOK_SECONDS = 2.0
HISTORY_LOOK_SECONDS = 5.0
IDLE_SECONDS = 0.5
Look = Callable[[], None]
"""Looks after the servers; called wherever something is waited for."""


def run(
    data_dir: Path, exchange_options: Sequence[str], project: Path | None = None, ui_port: int = 0
) -> None:
    """Run until SIGINT or SIGTERM, with Dagster if its project folder is given.

    Raises ServerFailedError when a server fails, after stopping the others, and ReplayError for a day that cannot be replayed.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    clean_this_process()
    refuse_unprovable(exchange_options, MarketCalendar("NYSE").day_of(dt.datetime.now(dt.UTC)))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console = Console()
    started = time.monotonic()
    console.print(
        "starting the embedded stack: simulated exchange, Kafka, ClickHouse, S3, Snowflake, Airbyte"
    )
    with (
        suppress(KeyboardInterrupt),
        running_stack(data_dir, exchange_options=exchange_options) as stack,
    ):
        if project:
            rows_before = _rows(stack)
            console.print("starting Dagster")
            home = dagster_home(project, stack.servers_dir) if replay_of(exchange_options) else None
            stack.add(dagster(project, ui_port, home))
        _print_addresses(stack, console)
        look = Revival(stack, console.print).look
        if project:
            _tell_first_rows(stack, console, started, rows_before, look)
            if begins := replay_begins(stack.settings()):
                _tell_replay(stack, console, begins, look)
            else:
                _tell_history(stack, console, look)
        else:
            console.print(f'in another shell: eval "$({_command()} stack env)"', soft_wrap=True)
        while True:
            look()
            time.sleep(IDLE_SECONDS)
    console.print("everything is stopped")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first signal ends whatever is being waited for; a second one must not cut the stopping short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.write(
        sys.stdout.fileno(),
        b"stopping: the streams hand on what they accepted first (about 10 s)\n",
    )
    raise KeyboardInterrupt


def _print_addresses(stack: Stack, console: Console) -> None:
    """Where everything listens, a line each that can be copied; the logs are in one folder."""
    for name, port in stack.ports.items():
        address = f"http://127.0.0.1:{port}" if name != "kafka" else f"127.0.0.1:{port}"
        console.print(f"  {name:<11} {address}", soft_wrap=True)
    if "dagster" in stack.ports:
        groups = ",".join(f"global@global:{group}" for group in ("stream", "serving", "batch"))
        console.print(
            f"lineage: http://127.0.0.1:{stack.ports['dagster']}/asset-groups?expanded={groups}",
            soft_wrap=True,
        )
    console.print(f"logs: {stack.data_dir / 'logs'}", soft_wrap=True)


def _command() -> str:
    """The command line as this process was started, to be pasted into another shell of the same folder."""
    return (
        shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == "polygon-assets" else "polygon-assets"
    )


def _tell_first_rows(
    stack: Stack, console: Console, started: float, rows_before: int, look: Look
) -> None:
    """Wait for the first row that was not there before, the proof that producer, filter and sink run."""
    console.print(
        "waiting for the sensors to start producer, filter and sink (about 30 s); Ctrl-C stops everything"
    )
    while (rows := _rows(stack)) <= rows_before:
        look()
        time.sleep(LOOK_SECONDS)
    console.print(
        f"{rows:,} rows in {AGGREGATES} after {time.monotonic() - started:.0f} s; more: {_command()} status",
        soft_wrap=True,
    )


def _rows(stack: Stack) -> int:
    """Of the streamed table; 0 while ClickHouse does not answer: it is busy, or started again soon."""
    try:
        return tables.tables(stack.settings())[AGGREGATES].rows
    except ClickHouseUnreachableError:
        return 0


def _tell_replay(stack: Stack, console: Console, begins: dt.datetime, look: Look) -> None:
    """Say when the replayed day is over, and what its comparison found; the servers stay up after that."""
    settings = stack.settings()
    session = calendar_of(settings).session(begins.astimezone(NEW_YORK).date())
    if session is None:
        return
    console.print(
        f"{session.day} is replayed from {_clock_time(begins)} to {_clock_time(session.extended_close)} New York"
    )
    while _market_time(settings) < session.extended_close + REVISION_WINDOW:
        look()
        time.sleep(LOOK_SECONDS)
    console.print(
        f"{session.day} is over; its daily bars are loaded and compared next (two to four minutes). "
        "If it takes longer, the sensor trading_day_closer says in the UI why the day is still open"
    )
    while not (verdicts := _verdicts(settings, session.day)):
        look()
        time.sleep(HISTORY_LOOK_SECONDS)
    found = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    console.print(
        f"{session.day} is closed and compared with the daily bars: {found}. The servers stay up until Ctrl-C"
    )


def _market_time(settings: Settings) -> dt.datetime:
    return market_clock.connect(settings).market(dt.datetime.now(dt.UTC))


def _verdicts(settings: Settings, day: dt.date) -> dict[str, int]:
    with suppress(WarehouseUnreachableError):  # it is busy, or started again soon
        return warehouse.verdicts(settings, day)
    return {}


def _clock_time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%H:%M}"


def _tell_history(stack: Stack, console: Console, look: Look) -> None:
    """Show how many of the past trading days are in the fact table until all are; the sensor `missing_days` brings them."""
    settings = stack.settings()
    calendar = calendar_of(settings)
    wanted = set(
        calendar.days_before(calendar.day_of(dt.datetime.now(dt.UTC)), settings.daily_history_days)
    )
    if not wanted:
        return
    columns = (
        TextColumn("daily history in Snowflake"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trading days"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("history", total=len(wanted))
        while not progress.finished:
            look()
            with suppress(WarehouseUnreachableError):  # it is busy, or started again soon
                progress.update(task, completed=len(wanted & warehouse.fact_days(settings).keys()))
            time.sleep(HISTORY_LOOK_SECONDS)
