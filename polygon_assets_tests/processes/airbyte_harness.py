"""An Airbyte workspace for tests: connections with their own tables, syncs, Snowflake's rows.

Add actions on the workspace here; expectations belong to the tests.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import requests

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.airbyte.declaration import source_configuration
from polygon_assets.clients import snowflake
from polygon_assets.clients.airbyte.job_outcome import JobOutcome
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.processes.harness import eventually

GROUPED = "/v2/aggs/grouped/locale/us/market/stocks"


@dataclass(frozen=True)
class Connection:
    """A connection of one test; `prefix` begins the names of its tables."""

    id: str
    prefix: str


class Workspace:
    """The stack's Airbyte workspace."""

    def __init__(self, stack: Stack) -> None:
        self.settings = stack.settings()
        self.api = AirbyteCalls(self.settings)
        self._stack = stack
        self._sources: dict[str, str] = {}

    def connect(
        self,
        prefix: str,
        names: Collection[str],
        days: Sequence[dt.date],
        tickers: Sequence[str] = (),
    ) -> Connection:
        """A new connection of these streams over these days, without states."""
        configuration = source_configuration(self.settings, days[0]) | {
            "end_date": days[-1].isoformat(),
            "open_close_tickers": list(tickers),
        }
        body = {
            "name": prefix,
            "prefix": f"{prefix}_",
            "sourceId": self._source(configuration),
            "destinationId": self.api.destinations()[0]["destinationId"],
            "configurations": {"streams": [choice(name) for name in names]},
        }
        return Connection(self.api.create_connection(body)["connectionId"], f"{prefix}_")

    def sync(self, connection: Connection) -> JobOutcome:
        """Run a sync to its end."""
        return self.end(self.api.start_sync(connection.id))

    def end(self, job_id: int) -> JobOutcome:
        outcome = eventually(
            lambda: None if (current := self.api.outcome(job_id)).running else current,
            f"job {job_id} ends",
        )
        assert outcome
        return outcome

    def until_committed(self, job_id: int) -> JobOutcome:
        """Wait until the first rows are committed, while the job goes on."""
        outcome = eventually(
            lambda: current if (current := self.api.outcome(job_id)).rows else None,
            f"job {job_id} commits rows",
        )
        assert outcome
        assert outcome.running
        return outcome

    def connectors(self) -> list[psutil.Process]:
        """The running processes of the connector."""
        return psutil.Process(self._stack.process("airbyte").pid).children(recursive=True)

    def log(self, job_id: int) -> str:
        return (self._stack.servers_dir / "airbyte" / "logs" / f"{job_id}.log").read_text()

    def _source(self, configuration: Mapping[str, Any]) -> str:
        """The source of a configuration, shared between tests: a discovery takes 2 s."""
        key = str(configuration)
        if key not in self._sources:
            definition = self.api.definitions()[0]["id"]
            self._sources[key] = self.api.create_source(
                f"source {len(self._sources)}", definition, dict(configuration)
            )["sourceId"]
        return self._sources[key]


def choice(name: str) -> dict[str, Any]:
    """A stream with the sync mode that `provision` chooses."""
    incremental = streams()[name].cursor is not None
    return {
        "name": name,
        "syncMode": "incremental_deduped_history" if incremental else "full_refresh_overwrite",
    }


@contextmanager
def tables(settings: Settings) -> Iterator["Tables"]:
    """A session that reads Snowflake's tables."""
    session = snowflake.connect(settings)
    try:
        yield Tables(session)
    finally:
        session.close()


class Tables:
    """Reads rows from Snowflake."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def rows(self, connection: Connection, stream: str, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of each row, sorted, with duplicates."""
        return sorted(self.ask(f"SELECT {', '.join(columns)} FROM RAW.{connection.prefix}{stream}"))

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with self._session.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]


def bars(settings: Settings, days: Sequence[dt.date]) -> list[tuple[str, dt.date]]:
    """Ticker and day of every daily bar that the exchange has, sorted."""
    return sorted(
        (bar["T"], day)
        for day in days
        for bar in _answer(settings, f"{GROUPED}/{day}").get("results", ())
    )


def _answer(settings: Settings, path: str) -> dict[str, Any]:
    key = settings.polygon_api_key.get_secret_value()
    answer = requests.get(
        settings.polygon_rest_url + path,
        {"apiKey": key, "adjusted": "false", "include_otc": "true"},
        timeout=30,
    )
    content: dict[str, Any] = answer.json()
    return content
