"""The batch half, step by step: connector, load, marts, definitions, `make dev` to a ready UI.

Each step runs against the embedded servers, next to its baseline in the same run. The table of
results belongs to `batch_table`.
"""

import datetime as dt
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from bench.replies import replies
from polygon_assets.batch import marts
from polygon_assets.batch.airbyte.connector import MANIFEST, Stream, streams, whole_streams
from polygon_assets.batch.raw import daily_records, table_writer
from polygon_assets.batch.raw.last_good import keep_or_restore
from polygon_assets.clients import snowflake
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.inspection import InspectionError, tables
from polygon_assets.local.launcher import state
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

PROJECT = Path(__file__).parents[1]
LAST_DAY = dt.date(2026, 11, 20)
BASELINE_ROWS = 2_000
"""Enough for some seconds: a row takes 2 to 5 ms."""
CONNECTOR = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"
PATIENCE_SECONDS = 300.0
OURS = "ours"
EMPTY_LOCATION = "import dagster as dg; defs = dg.Definitions()"


@dataclass(frozen=True)
class Timed:
    """One step of one run; `cpu` is the CPU of our processes, without the servers."""

    step: str
    contender: str
    records: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        return self.records / self.seconds


def run(folder: Path, days: int, tickers: int, pyairbyte: str = "") -> Iterator[Timed]:
    """One run over `days` trading days; `pyairbyte` is a Python that has the package `airbyte`."""
    exchange = ("--calendar", "NYSE", "--tickers", str(tickers))
    with running_stack(
        folder / "stack",
        only=("exchange", "snowflake"),
        exchange_options=exchange,
        fixed_ports=False,
    ) as stack:
        settings = stack.settings()
        dates = MarketCalendar("NYSE").days_before(LAST_DAY + dt.timedelta(days=1), days)
        answers = {
            path: _get(settings, path)
            for path in (f"/v2/aggs/grouped/locale/us/market/stocks/{day}" for day in dates)
        }
        with replies(answers) as address, snowflake.connect(settings) as connection:
            scripted = settings.model_copy(update={"polygon_rest_url": address})
            yield from _read(scripted, dates, list(answers), folder)
            yield from _read_and_load(connection, scripted, dates, folder, pyairbyte)
            yield from _load(
                connection,
                [
                    record
                    for day in dates
                    for record in daily_records.grouped_daily(PolygonRest(scripted), day)
                ],
            )
            _load_reference(connection, stack, dates)
            yield from _marts(connection, dates)
    yield from _definitions()
    yield from _development(folder)


def _read(
    settings: Settings, dates: list[dt.date], paths: list[str], folder: Path
) -> Iterator[Timed]:
    """Time the connector, then the same requests with nothing but their JSON parsed."""
    yield _timed(
        "read the days",
        OURS,
        lambda: sum(1 for _ in _records(settings, "grouped_daily", dates, folder)),
    )
    yield _timed(
        "read the days",
        "requests and json alone",
        lambda: sum(_count(_get(settings, path)) for path in paths),
    )


def _read_and_load(
    connection: "SnowflakeConnection",
    settings: Settings,
    dates: list[dt.date],
    folder: Path,
    pyairbyte: str,
) -> Iterator[Timed]:
    """Time answers to table: ours in Snowflake, PyAirbyte's in its DuckDB, by the same manifest."""
    now, stream = dt.datetime.now(dt.UTC), streams()["grouped_daily"]

    def ours() -> int:
        return table_writer.merge(
            connection, stream, _records(settings, "grouped_daily", dates, folder), now
        ).read

    def theirs() -> int:
        command = [
            pyairbyte,
            str(Path(__file__).with_name("pyairbyte.py")),
            str(MANIFEST),
            str(folder / "config.json"),
            str(folder / "cache"),
        ]
        environment = os.environ | {"AIRBYTE_OFFLINE_MODE": "1", "HOME": str(folder)}
        output = subprocess.run(
            command,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ).stdout
        return int(output.splitlines()[-1])

    yield _timed("read and load", OURS, ours)
    if pyairbyte:
        yield _timed("read and load", "PyAirbyte into DuckDB", theirs)


def _get(settings: Settings, path: str) -> bytes:
    headers = {"Authorization": f"Bearer {settings.polygon_api_key.get_secret_value()}"}
    query = {"adjusted": "false", "include_otc": "true"}
    return requests.get(
        settings.polygon_rest_url + path, query, headers=headers, timeout=120
    ).content


def _count(answer: bytes) -> int:
    return len(json.loads(answer).get("results", ()))


def _records(
    settings: Settings, stream: str, dates: list[dt.date], folder: Path
) -> Iterator[dict[str, Any]]:
    """The records that the connector emits for one stream."""
    config = {
        "api_key": settings.polygon_api_key.get_secret_value(),
        "base_url": settings.polygon_rest_url,
        "requests_per_minute": 0,
        "start_date": dates[0].isoformat(),
        "end_date": dates[-1].isoformat(),
    }
    description = {
        "name": stream,
        "json_schema": {},
        "supported_sync_modes": ["full_refresh", "incremental"],
    }
    catalog = {
        "streams": [
            {"stream": description, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
        ]
    }
    files = {name: folder / f"{name}.json" for name in ("config", "catalog")}
    files["config"].write_text(json.dumps(config))
    files["catalog"].write_text(json.dumps(catalog))
    options = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    command = [sys.executable, "-c", CONNECTOR, "read", *options, "--manifest-path", str(MANIFEST)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            if message["type"] == "RECORD":
                yield message["record"]["data"]


def _load(connection: "SnowflakeConnection", records: list[dict[str, Any]]) -> Iterator[Timed]:
    stream = streams()["grouped_daily"]
    now = dt.datetime.now(dt.UTC)
    yield _timed("load", OURS, lambda: table_writer.merge(connection, stream, records, now).read)
    yield _timed(
        "load again, all rows there",
        OURS,
        lambda: table_writer.merge(connection, stream, records, now).read,
    )
    yield _timed(
        "load",
        "executemany of rows",
        lambda: _insert_rows(connection, stream, records[:BASELINE_ROWS]),
    )


def _insert_rows(
    connection: "SnowflakeConnection", stream: Stream, records: list[dict[str, Any]]
) -> int:
    names = list(stream.properties)
    with connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE RAW.ROWS_ONE_BY_ONE LIKE RAW.GROUPED_DAILY")
        for name in ("_AIRBYTE_RAW_ID", "_AIRBYTE_EXTRACTED_AT", "_AIRBYTE_META"):
            cursor.execute(f'ALTER TABLE RAW.ROWS_ONE_BY_ONE DROP COLUMN "{name}"')
        marks = ", ".join(["%s"] * len(names))
        cursor.executemany(
            f"INSERT INTO RAW.ROWS_ONE_BY_ONE ({', '.join(names)}) VALUES ({marks})",
            [tuple(record.get(name) for name in names) for record in records],
        )
    return len(records)


def _load_reference(connection: "SnowflakeConnection", stack: Stack, dates: list[dt.date]) -> None:
    """Load the other streams that the marts join; not measured."""
    now = dt.datetime.now(dt.UTC)
    for name, stream in streams().items():
        if name != "grouped_daily":
            records = _records(stack.settings(), name, dates, stack.data_dir)
            table_writer.merge(connection, stream, records, now)
    keep_or_restore(connection, whole_streams())


def _marts(connection: "SnowflakeConnection", dates: list[dt.date]) -> Iterator[Timed]:
    for mart in marts.MARTS.values():
        if mart.sql:
            yield _timed(
                f"mart {mart.name}",
                OURS,
                partial(_build, connection, mart, dates if mart.by_day else [None]),
            )
    yield _timed(
        "mart fact_daily_trading",
        "joined in Python, row inserts",
        lambda: _facts_by_hand(connection, dates[0]),
    )


def _build(
    connection: "SnowflakeConnection", mart: marts.Mart, days: Sequence[dt.date | None]
) -> int:
    return sum(marts.build(connection, mart, day) for day in days)


def _facts_by_hand(connection: "SnowflakeConnection", day: dt.date) -> int:
    """The naive build: fetch both tables, join them by a dict, insert each row."""
    columns = ("ticker", "date", "open", "high", "low", "close", "volume")
    with connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE MARTS.FACTS_BY_HAND LIKE MARTS.FACT_DAILY_TRADING")
        cursor.execute(
            "SELECT ticker, open, close FROM RAW.DAILY_OPEN_CLOSE WHERE date = %s", (day,)
        )
        official = {ticker: prices for ticker, *prices in cursor.fetchall()}
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM RAW.GROUPED_DAILY "
            f"WHERE date = %s LIMIT {BASELINE_ROWS}",
            (day,),
        )
        rows = [(*bar, *official.get(bar[0], (None, None))) for bar in cursor.fetchall()]
        names = "ticker, trading_day, open, high, low, close, volume, official_open, official_close"
        cursor.executemany(
            f"INSERT INTO MARTS.FACTS_BY_HAND ({names}) VALUES ({', '.join(['%s'] * 9)})", rows
        )
    return len(rows)


def _definitions() -> Iterator[Timed]:
    for contender, code in (
        (OURS, "import polygon_assets.definitions"),
        ("import dagster alone", "import dagster"),
    ):
        yield _timed(
            "definitions load", contender, partial(_run_once, [sys.executable, "-c", code])
        )


def _development(folder: Path) -> Iterator[Timed]:
    """Time the command to a ready UI and to the first live row, next to an empty `dagster dev`."""
    home, data, port = _dagster_home(folder / "home"), folder / "dev", free_port(0, set())
    ready, first_row = "make dev to a ready UI", "make dev to the first live row"
    places = ["--data", str(data), "--project", str(home), "--port", str(port)]
    command = [sys.executable, "-m", "polygon_assets.cli", "dev", "--no-demonstration", *places]
    with _interrupted_at_the_end(command, home) as started:
        yield Timed(ready, OURS, 1, _until(lambda: _answers(port)) - started, 0.0)
        yield Timed(first_row, OURS, 1, _until(lambda: _has_rows(data)) - started, 0.0)
    (home / "empty.py").write_text(EMPTY_LOCATION)
    options = ("-f", "empty.py", "-h", HOST, "-p", str(port))
    command = [sys.executable, "-m", "dagster", "dev", *options]
    with _interrupted_at_the_end(command, home) as started:
        contender = "dagster dev, nothing defined"
        yield Timed(ready, contender, 1, _until(lambda: _answers(port)) - started, 0.0)


def _dagster_home(home: Path) -> Path:
    """A folder with the project's Dagster files, whose code location is still the project's."""
    home.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        text = (PROJECT / name).read_text()
        text = text.replace("working_directory: .", f"working_directory: {PROJECT}")
        (home / name).write_text(text)
    return home


@contextmanager
def _interrupted_at_the_end(command: list[str], folder: Path) -> Iterator[float]:
    """Run a process tree until the end of `with`; yields the moment of its start."""
    environment = os.environ | {"DAGSTER_HOME": str(folder)}
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield time.monotonic()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)


def _until(is_done: Callable[[], bool]) -> float:
    """Wait until `is_done`; the monotonic time at which it was."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"`make dev` was not ready within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.25)
    return time.monotonic()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://{HOST}:{port}/server_info", timeout=2).ok
    except requests.ConnectionError:
        return False


def _has_rows(data: Path) -> bool:
    settings = Settings.model_validate(
        {name.lower(): value for name, value in state.read_environment(data).items()}
    )
    try:
        return tables.tables(settings)["market.stock_aggregates"].rows > 0
    except InspectionError:
        return False


def _run_once(command: list[str]) -> int:
    subprocess.run(command, check=True, cwd=PROJECT)
    return 1


def _timed(step: str, contender: str, work: Callable[[], int]) -> Timed:
    cpu, started = _cpu(), time.monotonic()
    records = work()
    return Timed(step, contender, records, time.monotonic() - started, _cpu() - cpu)


def _cpu() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    scopes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(scope) for scope in scopes]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
