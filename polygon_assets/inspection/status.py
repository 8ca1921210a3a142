"""What `polygon-assets status` reports: every piece, reachable or not, and whether the whole is healthy.

The other modules here gather; here the answers become one structure of plain JSON values, and `status_table`
shows it. The keys of the structure are a contract with scripts: some may be added, none renamed.
"""

import datetime as dt
import importlib
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from polygon_assets.clients import market_clock, subscription_store
from polygon_assets.clients.airbyte import AirbyteApi
from polygon_assets.inspection import gaps, streams, tables, warehouse
from polygon_assets.inspection.disk import free_bytes, scarcity
from polygon_assets.inspection.health import heartbeat_problems, is_recent
from polygon_assets.inspection.questions import Answer, Questions
from polygon_assets.inspection.tables import TableFacts
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import FILTERED_TOPIC, PROGRAMS, RAW_TOPIC, Heartbeat, utc
from polygon_assets.settings import Settings

DEADLINE_SECONDS = 5.0
"""For all services together: a person waits, and what does not answer in this time is named."""
KNOCK_SECONDS = 3.0
CLIENTS = ("kafka", "clickhouse_connect", "boto3", "snowflake.connector")
"""Loaded before the clock runs: on a busy machine their imports alone take five seconds."""

Facts = dict[str, Any]


class Status:
    """The questions to one set of endpoints, asked as often as somebody wants to look."""

    def __init__(
        self,
        settings: Settings,
        data: Path | None = None,
        server_restarts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`data` is the folder of the embedded stack, if that is looked at, and `server_restarts` how often it started servers again."""
        self._data = data
        self._server_restarts = server_restarts
        self._calendar = calendar_of(settings)
        self._endpoints = _endpoints(settings)
        asked = {name for name, endpoint in self._endpoints.items() if endpoint}
        self._questions = Questions(
            {
                part: ask
                for part, ask in _questions(settings).items()
                if part.partition(" ")[0] in asked
            }
        )
        for module in CLIENTS if "snowflake" in asked else CLIENTS[:-1]:
            importlib.import_module(module)

    def look(self, now: dt.datetime, deadline_seconds: float = DEADLINE_SECONDS) -> Facts:
        """The whole picture as described in the module's head; takes no longer than the deadline."""
        answers = self._questions.ask(deadline_seconds)
        failed = {name: _failure(name, answers, deadline_seconds) for name in self._endpoints}
        beats = _value(answers, "kafka heartbeats")
        facts: Facts = {
            "services": {
                name: _service(endpoint, failed[name] or _detail(name, answers), not failed[name])
                | (
                    {"restarts": self._server_restarts[name]}
                    if name in self._server_restarts
                    else {}
                )
                for name, endpoint in self._endpoints.items()
            },
            "streams": {}
            if beats is None
            else {name: stream_facts(beats.get(name), now) for name in PROGRAMS},
            "tables": _tables(_value(answers, "clickhouse tables") or {})
            | _tables(_value(answers, "snowflake tables") or {}),
            "disk": {"free_bytes": free_bytes(self._data), "folder": str(self._data.resolve())}
            if self._data
            else {},
            "gaps": {
                "open": None if (ledger := _value(answers, "kafka gaps")) is None else len(ledger),
                "filling": 0,
            },
        }
        clock = _value(answers, "exchange clock")
        # It counts as open where nobody knows: a replay whose exchange does not answer is not healthy in any case.
        found = problems(facts, clock is None or self._calendar.is_open(clock.market(now)))
        return {"healthy": not found, "problems": found, **facts}


def problems(facts: Facts, market_is_open: bool) -> list[str]:
    """A sentence for all that is wrong; none means healthy.

    Every service answers and the gap ledger can be read; while the market is open, every program
    streams and its own heartbeat reports nothing wrong.
    """
    found = [
        f"{name}: {service['detail']}"
        for name, service in facts["services"].items()
        if not service["ok"]
    ]
    if facts["gaps"]["open"] is None:
        found.append("gaps: the ledger cannot be read, so nobody knows whether events are missing")
    if disk := facts.get("disk"):
        found.extend(filter(None, [scarcity(Path(disk["folder"]), disk["free_bytes"])]))
    if market_is_open:
        for name in PROGRAMS:
            stream = facts["streams"].get(name, {"state": "not known", "detail": ""})
            if stream["state"] != "streaming":
                found.append(
                    f"{name}: {stream['state']}"
                    + (f": {stream['detail']}" if stream["detail"] else "")
                )
            found.extend(f"{name}: {problem}" for problem in stream.get("problems", ()))
    return found


def stream_facts(beat: Heartbeat | None, now: dt.datetime) -> Facts:
    """One program by its last heartbeat; silent where it should still send some and does not."""
    if beat is None:
        return _no_stream("never seen")
    lost = beat.state != "stopped" and not is_recent(beat, now)
    alive = not lost and beat.state != "stopped"
    return {
        "state": "silent" if lost else beat.state,
        "rate": 0.0 if lost else beat.rate,
        "lag": beat.lag,
        "newest_event": _iso(beat.newest_event),
        "restarts": beat.restarts,
        "reconnects": beat.counters.get("reconnects", 0),
        "retries": beat.counters.get("retries", 0),
        "refused": beat.counters.get("refused", 0),
        "arrival_delay_seconds": beat.arrival_delay_ms / 1000
        if alive and beat.arrival_delay_ms is not None
        else None,
        "detail": f"no heartbeat for {(now - utc(beat.sent_at)).total_seconds():,.0f} s" if lost else _channels(beat) or beat.detail,
        "problems": heartbeat_problems(beat) if alive else [],
    }


def _no_stream(state: str) -> Facts:
    numbers = dict.fromkeys(("restarts", "reconnects", "retries", "refused"), 0)
    unknown = dict.fromkeys(("lag", "newest_event", "arrival_delay_seconds"))
    return {"state": state, "rate": 0.0, "detail": "", "problems": [], **numbers, **unknown}


def _endpoints(settings: Settings) -> dict[str, str]:
    """Where each service is; empty where that is not set. The batch half may be left out as a whole."""
    clickhouse = (
        f"{settings.clickhouse_host}:{settings.clickhouse_port}" if settings.clickhouse_host else ""
    )
    bucket = (
        f"s3://{settings.subscriptions_bucket}/{settings.subscriptions_key}"
        if settings.subscriptions_bucket
        else ""
    )
    endpoints = {
        "exchange": settings.polygon_websocket_url,
        "kafka": settings.kafka_bootstrap_servers,
        "clickhouse": clickhouse,
        "s3": bucket,
    }
    if warehouse_name := settings.snowflake_host or settings.snowflake_account:
        endpoints["snowflake"] = warehouse_name
    if settings.airbyte_workspace_id:
        endpoints["airbyte"] = settings.airbyte_api_url
    return endpoints


def _questions(settings: Settings) -> dict[str, Callable[[], Any]]:
    """By `service` (its detail) or `service part`: each one connection, so that they can be asked at once."""
    return {
        "exchange": lambda: _knock(settings.polygon_websocket_url),
        "exchange clock": lambda: market_clock.connect(settings),
        "kafka": lambda: _topics(settings),
        "kafka heartbeats": lambda: streams.heartbeats(settings, DEADLINE_SECONDS),
        "kafka gaps": lambda: gaps.open_gaps(settings, DEADLINE_SECONDS),
        "clickhouse tables": lambda: tables.tables(settings),
        "s3": lambda: _subscriptions(settings),
        "snowflake": lambda: _warehouse(settings),
        "snowflake tables": lambda: warehouse.tables(settings),
        "airbyte": lambda: _syncs(settings),
    }


def _failure(service: str, answers: Mapping[str, Answer], deadline_seconds: float) -> str:
    """Why a service is not ok; empty for one that answered all its questions. A gap that cannot be read is no failure of Kafka."""
    for part, answer in answers.items():
        if part.partition(" ")[0] != service or part == "kafka gaps":
            continue
        if answer.error is not None:
            return str(answer.error).splitlines()[0] if str(answer.error) else repr(answer.error)
        if not answer.is_there:
            return f"no answer within {deadline_seconds:.0f} s"
    return ""


def _detail(service: str, answers: Mapping[str, Answer]) -> str:
    if service == "clickhouse":
        return f"{len(_value(answers, 'clickhouse tables') or ())} tables"
    return str(_value(answers, service) or "")


def _service(endpoint: str, detail: str, ok: bool) -> Facts:
    if not endpoint:
        return {
            "ok": False,
            "endpoint": "",
            "detail": "not set; `polygon-assets doctor` says how to get it",
        }
    return {"ok": ok, "endpoint": endpoint, "detail": detail}


def _value(answers: Mapping[str, Answer], part: str) -> Any:
    """None where there is no answer."""
    return answers[part].value if part in answers and answers[part].is_there else None


def _knock(url: str) -> str:
    """Whether something listens there: a connection of our own would evict the producer's."""
    parts = urlsplit(url)
    started = time.monotonic()
    with socket.create_connection(
        (parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)),
        timeout=KNOCK_SECONDS,
    ):
        return f"accepts connections ({(time.monotonic() - started) * 1000:.0f} ms)"


def _topics(settings: Settings) -> str:
    return ", ".join(
        f"{topic} {streams.message_count(settings, topic, DEADLINE_SECONDS):,}"
        for topic in (RAW_TOPIC, FILTERED_TOPIC)
    )


def _subscriptions(settings: Settings) -> str:
    accepted = subscription_store.connect(settings).accepted()
    return (
        f"{len(accepted.channels)} channels in force, version {accepted.version}"
        if accepted
        else "no set in force yet"
    )


def _warehouse(settings: Settings) -> str:
    days = warehouse.fact_days(settings)
    return f"database {settings.snowflake_database}, {len(days)} trading days" + (
        f" up to {max(days)}" if days else ""
    )


def _syncs(settings: Settings) -> str:
    """The newest job of each connection."""
    with closing(AirbyteApi(settings, patience_seconds=0)) as api:
        newest = {
            connection["name"]: api.jobs(connection["connectionId"], limit=1)
            for connection in api.connections()
        }
    return (
        ", ".join(
            f"{name} {jobs[0]['status'] if jobs else 'never synced'}"
            for name, jobs in sorted(newest.items())
        )
        or "no connection"
    )


def _channels(beat: Heartbeat) -> str:
    return (
        f"{beat.confirmed}/{beat.desired} channels confirmed"
        if beat.program == "producer" and beat.state == "streaming"
        else ""
    )


def _tables(found: Mapping[str, TableFacts]) -> Facts:
    return {
        name: {"rows": table.rows, "newest": table.newest.isoformat() if table.newest else None}
        for name, table in sorted(found.items())
    }


def _iso(milliseconds: int | None) -> str | None:
    return (
        None
        if milliseconds is None
        else dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat()
    )
