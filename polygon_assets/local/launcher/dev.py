"""`make dev`: the embedded exchange, Kafka, ClickHouse, S3, Snowflake and Airbyte, then Dagster.

Add the order of the start and the lines printed on the terminal here; what each server needs
belongs to `servers`, running them as one process tree to `stack`.
"""

import datetime as dt
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from polygon_assets.clients import market_clock
from polygon_assets.inspection import (
    ClickHouseUnreachableError,
    WarehouseUnreachableError,
    tables,
    warehouse,
)
from polygon_assets.local.apache_kafka.install import installed_jars
from polygon_assets.local.launcher.demonstration_day import Demonstration, is_due
from polygon_assets.local.launcher.environment import clean_this_process
from polygon_assets.local.launcher.live_line import LiveLine
from polygon_assets.local.launcher.replay import dagster_home, refuse_unprovable, replay_start
from polygon_assets.local.launcher.revival import Revival
from polygon_assets.local.launcher.servers import APACHE, dagster, page
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.market_clock import calendar_of, replay_begins
from polygon_assets.settings import Settings

AGGREGATES = "market.stock_aggregates"
POLL_SECONDS = 2.0
WAREHOUSE_POLL_SECONDS = 5.0
IDLE_SECONDS = 0.5
DEMONSTRATION_SECONDS = 300.0
CheckServers = Callable[[], None]
"""Restarts servers that died or hang; every waiting loop calls it."""


def run(
    data_dir: Path,
    exchange_options: Sequence[str],
    next_command: str,
    *,
    kafka: str,
    project: Path | None = None,
    ui_port: int = 0,
    demonstration: bool = False,
) -> None:
    """Run until SIGINT or SIGTERM, with Dagster if its project folder is given.

    `next_command` is a suggestion for another shell. With `demonstration` a new data folder also
    gets a past day as a recorded one. Raises ServerFailedError when a server fails, after stopping
    the others, and ReplayError for a day that cannot be replayed.
    """
    _take_over_process()
    refuse_unprovable(exchange_options, MarketCalendar("NYSE").day_of(dt.datetime.now(dt.UTC)))
    console, started = Console(), time.monotonic()
    is_replay = replay_start(exchange_options) is not None
    is_shown = demonstration and is_due(data_dir)
    _announce(console, kafka)
    with (
        suppress(KeyboardInterrupt),
        running_stack(data_dir, exchange_options=exchange_options, kafka=kafka) as stack,
    ):
        live_line = LiveLine(stack)
        check_servers = Revival(stack, live_line.noting_failures(console.print)).check
        rows_before = _rows(stack) if project else 0
        if project:
            console.print("starting Dagster and the page")
            home = dagster_home(project, stack.servers_dir) if is_replay else None
            stack.add(dagster(project, ui_port, home), page())
        _print_addresses(stack, console)
        if project:
            _wait_for_first_rows(stack, console, started, rows_before, check_servers)
        console.print(f"in another shell: {next_command}", soft_wrap=True)
        if project:
            _suggest(stack, console)
            _wait_for_days(stack, console, check_servers, exchange_options if is_shown else None)
        _check_until_stopped(console, check_servers, live_line if project else None)
    console.print("everything is stopped")


def _take_over_process() -> None:
    """Log to the terminal, forget the shell's settings, and stop in order at a signal."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    clean_this_process()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _announce(console: Console, kafka: str) -> None:
    """Say what is started; Apache Kafka's files are fetched first, where they are missing."""
    if kafka == APACHE:
        console.print("fetching Apache Kafka once (43 MB), where it is not installed yet")
        installed_jars()
    console.print(
        "starting the embedded stack: simulated exchange, Kafka, ClickHouse, S3, Snowflake, Airbyte"
    )


def _suggest(stack: Stack, console: Console) -> None:
    """Say what is worth trying first."""
    console.print(
        'try: pkill -9 -f "stream producer", and watch the gap appear, be filled and verified on '
        f"http://127.0.0.1:{stack.ports['page']}/trust",
        soft_wrap=True,
    )


def _check_until_stopped(
    console: Console, check_servers: CheckServers, live_line: LiveLine | None
) -> NoReturn:
    """Watch the servers; on a terminal, one line below all others shows how the streams are."""
    with console.status("") as status:
        while True:
            check_servers()
            if live_line and console.is_terminal:
                status.update(live_line.text(time.monotonic()))
            time.sleep(IDLE_SECONDS)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Handle the first signal and ignore later ones: a second must not cut the stopping short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.write(
        sys.stdout.fileno(),
        b"stopping: the streams deliver the messages they accepted first (about 10 s)\n",
    )
    raise KeyboardInterrupt


def _print_addresses(stack: Stack, console: Console) -> None:
    """Print each server's address on a line that can be copied, and the folder of the logs."""
    if "page" in stack.ports:
        console.print(f"the market: http://127.0.0.1:{stack.ports['page']}", soft_wrap=True)
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


def _wait_for_first_rows(
    stack: Stack,
    console: Console,
    started: float,
    rows_before: int,
    check_servers: CheckServers,
) -> None:
    """Wait for the first new row: it proves that producer, filter and sink run."""
    console.print(
        "waiting for the sensors to start the stream programs (about 30 s); Ctrl-C stops everything"
    )
    while (rows := _rows(stack)) <= rows_before:
        check_servers()
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - started
    console.print(f"{rows:,} rows in {AGGREGATES} after {seconds:.0f} s")


def _rows(stack: Stack) -> int:
    """Rows of the streamed table; 0 while ClickHouse is busy or restarts."""
    try:
        return tables.tables(stack.settings())[AGGREGATES].rows
    except ClickHouseUnreachableError:
        return 0


def _wait_for_days(
    stack: Stack,
    console: Console,
    check_servers: CheckServers,
    demonstration: Sequence[str] | None,
) -> None:
    """Wait until the replayed day is compared or, in a live market, the history is loaded.

    With `demonstration`, the exchange's options, a past day is delivered and compared meanwhile.
    """
    if begins := replay_begins(stack.settings()):
        _wait_for_replay(stack, console, begins, check_servers)
    elif demonstration is None:
        _wait_for_history(stack, console, check_servers)
    else:
        with Demonstration(stack, demonstration) as delivery:
            _wait_for_history(stack, console, check_servers)
            _wait_for_demonstration(delivery, stack, console, check_servers)


def _wait_for_replay(
    stack: Stack, console: Console, begins: dt.datetime, check_servers: CheckServers
) -> None:
    """Print when the replayed day is over, and its comparison with the daily bars."""
    settings = stack.settings()
    session = calendar_of(settings).session(begins.astimezone(NEW_YORK).date())
    if session is None:
        return
    console.print(
        f"{session.day} is replayed from {_clock_time(begins)} "
        f"to {_clock_time(session.extended_close)} New York"
    )
    while _market_time(settings) < session.settled_at:
        check_servers()
        time.sleep(POLL_SECONDS)
    console.print(
        f"{session.day} is over; its daily bars are loaded and compared next "
        "(two to four minutes). If this takes longer, open the sensor trading_day_closer in the "
        "UI: its last tick gives the reason why the day is still open"
    )
    while not (verdicts := _verdicts(settings, session.day)):
        check_servers()
        time.sleep(WAREHOUSE_POLL_SECONDS)
    console.print(
        f"{session.day} is closed and compared with the daily bars: {_counted(verdicts)}. "
        "The servers stay up until Ctrl-C"
    )


def _market_time(settings: Settings) -> dt.datetime:
    return market_clock.connect(settings).market(dt.datetime.now(dt.UTC))


def _wait_for_demonstration(
    delivery: Demonstration, stack: Stack, console: Console, check_servers: CheckServers
) -> None:
    """Print how the demonstration's day was compared; after some minutes go on without it."""
    settings, deadline = stack.settings(), time.monotonic() + DEMONSTRATION_SECONDS
    while not (verdicts := _verdicts(settings, delivery.day)):
        check_servers()
        if delivery.failure or time.monotonic() > deadline:
            problem = delivery.failure or (
                "it goes on by itself; the sensor trading_day_closer says why the day is still open"
            )
            console.print(f"the demonstration of {delivery.day} is not finished: {problem}")
            return
        time.sleep(WAREHOUSE_POLL_SECONDS)
    console.print(
        f"{delivery.day}, a demonstration of a recorded day: its gap was filled and verified, the "
        f"day closed and compared with the daily bars: {_counted(verdicts)}. "
        f"http://127.0.0.1:{stack.ports['page']}/trust",
        soft_wrap=True,
    )


def _counted(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))


def _verdicts(settings: Settings, day: dt.date) -> dict[str, int]:
    with suppress(WarehouseUnreachableError):  # the server is busy or restarts
        return warehouse.verdicts(settings, day)
    return {}


def _clock_time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%H:%M}"


def _wait_for_history(stack: Stack, console: Console, check_servers: CheckServers) -> None:
    """Show a progress bar until the sensor `missing_days` has loaded all past trading days."""
    settings = stack.settings()
    calendar = calendar_of(settings)
    past_days = set(
        calendar.days_before(calendar.day_of(dt.datetime.now(dt.UTC)), settings.daily_history_days)
    )
    if not past_days:
        return
    columns = (
        TextColumn("daily history in Snowflake"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trading days"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("history", total=len(past_days))
        while not progress.finished:
            check_servers()
            with suppress(WarehouseUnreachableError):  # the server is busy or restarts
                progress.update(
                    task, completed=len(past_days & warehouse.fact_days(settings).keys())
                )
            time.sleep(WAREHOUSE_POLL_SECONDS)
