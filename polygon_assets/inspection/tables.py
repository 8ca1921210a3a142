"""What ClickHouse holds: rows, newest times, and whether particular messages are rows.

Add a question about ClickHouse's state here; its SQL belongs to `serving/queries`.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polygon_assets.inspection import ClickHouseUnreachableError
from polygon_assets.inspection.table_layout import ServerFacts
from polygon_assets.messages import FilteredAggregate, Heartbeat
from polygon_assets.serving import alert_history, dead_letters, gap_ledger, heartbeat_history
from polygon_assets.serving.alert_history import FiringAlert
from polygon_assets.serving.dead_letters import Letter, Part, ReasonCount, Replay, Selection
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import Error


@dataclass(frozen=True)
class TableFacts:
    """Stored rows, earlier versions included, and their newest time (UTC), None without a row."""

    rows: int
    newest: dt.datetime | None


def tables(settings: Settings) -> dict[str, TableFacts]:
    """By `database.table`. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        rows = client.query(load("table_status")).result_rows
    return {str(name): TableFacts(int(count), _utc(newest)) for name, count, newest in rows}


def pending_migrations(settings: Settings) -> list[str]:
    """The names of the migrations that this version has and the database has not, in their order.

    Raises MigrationError where they cannot be applied, and ClickHouseUnreachableError.
    """
    from polygon_assets.serving import migrate

    with _client(settings) as client:
        applied = migrate.applied(client)
    return [migration.name for migration in migrate.pending(migrate.read_migrations(), applied)]


def day_rows(settings: Settings, days: Iterable[dt.date]) -> dict[dt.date, int]:
    """Rows stored for each trading day, earlier versions included.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        sql = load("day_versions")
        return {
            day: int(client.query(sql, parameters={"day": day}).result_rows[0][0]) for day in days
        }


def seconds_by_minute(settings: Settings, day: dt.date) -> list[tuple[dt.datetime, int]]:
    """The stored seconds of all symbols in each minute (UTC) that has any, oldest first.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        rows = client.query(
            load("seconds_by_minute"), parameters={"day": day}, tz_mode="aware"
        ).result_rows
    return [(minute, int(seconds)) for minute, seconds in rows]


def movers(settings: Settings, now: dt.datetime, limit: int) -> list[dict[str, Any]]:
    """The largest changes within 10 s at `now`, see `serving/queries/top_movers.sql`.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        answer = client.query(load("top_movers"), parameters={"now": now, "limit": limit})
        return list(answer.named_results())


def not_stored(
    settings: Settings, aggregates: Sequence[FilteredAggregate]
) -> list[FilteredAggregate]:
    """The aggregates that the table holds neither in this version nor in a newer one.

    Raises ClickHouseUnreachableError.
    """
    if not aggregates:
        return []
    symbols = sorted({aggregate.symbol for aggregate in aggregates})
    starts = sorted({aggregate.start_timestamp for aggregate in aggregates})
    with _client(settings) as client:
        rows = client.query(
            load("stored_versions"), parameters={"symbols": symbols, "starts": starts}
        ).result_rows
    stored = {(symbol, start): received for symbol, start, received in rows}
    return [a for a in aggregates if stored.get((a.symbol, a.start_timestamp), -1) < a.received_at]


def gaps(settings: Settings) -> list[GapEntry]:
    """Every entry of `market.stream_gaps`, oldest first. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        return gap_ledger.read(client)


def firing_alerts(settings: Settings) -> list[FiringAlert]:
    """The alerts that fire by `market.alerts`, oldest first. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        return alert_history.read(client)


def store_firing_alerts(
    settings: Settings, firing: Collection[FiringAlert], now: dt.datetime
) -> None:
    """Bring `market.alerts` up to the alerts that fire. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        alert_history.store(client, firing, now)


def restarts(settings: Settings, since: dt.datetime) -> dict[str, int]:
    """How often each program was restarted since then. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        rows = client.query(load("restarts_since"), parameters={"since": since}).result_rows
    return {str(program): int(count) for program, count in rows}


def first_heartbeat(settings: Settings) -> dt.datetime | None:
    """When the first stored heartbeat of a producer was sent; None without one.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        return heartbeat_history.first_sent_at(client, "producer")


def server_facts(settings: Settings) -> ServerFacts:
    """What CLICKHOUSE_TABLES depends on. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        macros = {str(name): str(value) for name, value in client.query(load("macros")).result_rows}
        cluster = settings.clickhouse_cluster
        for name, value in macros.items():
            cluster = cluster.replace(f"{{{name}}}", value)
        shards = client.query(load("cluster_shards"), parameters={"cluster": cluster}).result_rows
        engines = client.query(load("table_engines")).result_rows
    return ServerFacts(
        {int(shard): int(replicas) for shard, replicas in shards},
        macros,
        {str(name): str(engine) for name, engine in engines},
    )


def free_bytes(settings: Settings) -> dict[str, int]:
    """By disk of ClickHouse. Raises ClickHouseUnreachableError."""
    with _client(settings) as client:
        rows = client.query(load("disks")).result_rows
    return {str(disk): int(free) for disk, free in rows}


def refused(
    settings: Settings, selection: Selection, reasons: int, letters: int
) -> tuple[list[ReasonCount], list[Letter]]:
    """The most frequent reasons and the newest dead letters of a selection.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        return (
            dead_letters.counts(client, selection, reasons),
            dead_letters.letters(client, selection, letters),
        )


def dead_letter_losses(settings: Settings, since: dt.datetime) -> int:
    """How often the broker lost dead letters before they were stored, since then.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        rows = client.query(load("dead_letter_losses"), parameters={"since": since}).result_rows
    return int(rows[0][0])


def dead_letter(
    settings: Settings, letter_id: str
) -> tuple[Letter, list[Part], list[Replay]] | None:
    """A dead letter with its bytes and the attempts to replay it; None if no letter has the id.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        letters = dead_letters.letters(client, Selection(ids=(letter_id,)), 1)
        if not letters:
            return None
        parts = dead_letters.parts(client, [letter_id])[letter_id]
        return letters[0], parts, dead_letters.replays(client, [letter_id])


def heartbeats_between(
    settings: Settings, program: str, intervals: Iterable[tuple[dt.datetime, dt.datetime]]
) -> list[Heartbeat]:
    """The stored heartbeats of a program within each interval, oldest first in each.

    Raises ClickHouseUnreachableError.
    """
    with _client(settings) as client:
        return [
            Heartbeat(**row)
            for since, until in intervals
            for row in client.query(
                load("heartbeats_between"),
                parameters={"program": program, "since": since, "until": until},
            ).named_results()
        ]


def _client(settings: Settings) -> AbstractContextManager["Client"]:
    from polygon_assets.clients import clickhouse

    return clickhouse.connected(settings, ClickHouseUnreachableError, _explain)


def _explain(settings: Settings, error: "Error") -> str:
    server = f"{settings.clickhouse_host}:{settings.clickhouse_port}"
    return f"ClickHouse at {server}: {settings.conceal(str(error))}"


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=dt.UTC)
