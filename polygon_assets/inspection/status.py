"""What `polygon-assets status` reports: every piece, reachable or not, and whether all is healthy.

Add a fact or a problem of the report here; the other modules of `inspection` gather, and
`status_table` displays. The keys are a contract with scripts: keys may be added, never renamed.
"""

import datetime as dt
import importlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from polygon_assets.clients import market_clock, subscription_store
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.kafka_connect import ConnectorState
from polygon_assets.inspection import connectors, gaps, services, streams, tables, warehouse
from polygon_assets.inspection.disk import free_bytes, scarcity
from polygon_assets.inspection.health import absence, heartbeat_problems
from polygon_assets.inspection.questions import Answer, Questions, value_of
from polygon_assets.inspection.tables import TableFacts
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.required_settings import not_set
from polygon_assets.serving.alert_history import FiringAlert
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTERED_TOPIC, RAW_TOPIC, SINK_GROUP

DEADLINE_SECONDS = 5.0
"""For all services together, because a person waits; services without an answer are named."""
CONNECT_SECONDS = 3.0
CLIENTS = ("kafka", "confluent_kafka.admin", "clickhouse_connect", "boto3", "snowflake.connector")
"""Imported before the deadline starts: on a busy machine these imports take five seconds."""

_VARIABLES = {
    "exchange": "POLYGON_WEBSOCKET_URL",
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "clickhouse": "CLICKHOUSE_HOST",
    "s3": "SUBSCRIPTIONS_BUCKET",
    "ecs": "ECS_CLUSTER",
    "connect": "KAFKA_CONNECT_URL",
}
"""The variable that leads to each service; the batch half may be left out."""

Facts = dict[str, Any]
WORKING_STATES = ("streaming", connectors.RUNNING)
"""Of a program, and of a connector in Kafka Connect's own word."""


class Status:
    """The queries to one set of endpoints, which may be repeated."""

    def __init__(
        self,
        settings: Settings,
        data: Path | None = None,
        server_restarts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """`data` is the folder of the embedded stack, if there is one.

        `server_restarts` returns how often the stack has restarted each server by now.
        """
        self._data = data
        self._server_restarts = server_restarts
        self._calendar = calendar_of(settings)
        self._settings = settings
        self._endpoints = _endpoints(settings)
        services = {name for name, endpoint in self._endpoints.items() if endpoint}
        self._questions = Questions(
            {
                part: query
                for part, query in _queries(settings).items()
                if part.partition(" ")[0] in services
            }
        )
        for module in CLIENTS if "snowflake" in services else CLIENTS[:-1]:
            importlib.import_module(module)

    def facts(self, now: dt.datetime, deadline_seconds: float = DEADLINE_SECONDS) -> Facts:
        """The whole report; takes no longer than the deadline."""
        answers = self._questions.ask(deadline_seconds)
        beats, clock = value_of(answers, "kafka heartbeats"), value_of(answers, "exchange clock")
        ledger = value_of(answers, "kafka gaps")
        facts: Facts = {
            "services": self._services(answers, deadline_seconds),
            "streams": {}
            if beats is None
            else {name: stream_facts(beats.get(name), now, self._settings) for name in PROGRAMS}
            | self._connectors(answers),
            "tables": _tables(value_of(answers, "clickhouse tables") or {})
            | _tables(value_of(answers, "snowflake tables") or {}),
            "disk": self._disk(),
            "gaps": _gap_counts(ledger),
            "alerts": _alerts(value_of(answers, "clickhouse alerts")),
        }
        # Without an answer the market counts as open: a replay without its exchange is not healthy.
        market_is_open = clock is None or self._calendar.is_open(clock.market(now))
        sentences = problems(facts, market_is_open)
        return {"healthy": not sentences, "problems": sentences, **facts}

    def _services(self, answers: Mapping[str, Answer], deadline_seconds: float) -> Facts:
        services: Facts = {}
        restarts = self._server_restarts()
        for name, endpoint in self._endpoints.items():
            failure = self._settings.conceal(_failure(name, answers, deadline_seconds))
            detail = failure or _detail(name, answers)
            services[name] = _service(name, endpoint, detail, not failure)
            if name in restarts:
                services[name]["restarts"] = restarts[name]
        return services

    def _connectors(self, answers: Mapping[str, Answer]) -> Facts:
        """The row of the sink, where Kafka Connect does its work."""
        if not connectors.replaces(self._settings, "sink"):
            return {}
        lag = value_of(answers, "kafka lag")
        return {"sink": connector_facts(value_of(answers, "connect states"), lag)}

    def _disk(self) -> Facts:
        if self._data is None:
            return {}
        return {
            "free_bytes": free_bytes(self._data),
            "wanted_bytes": self._settings.alert_disk_free_bytes,
            "folder": str(self._data.resolve()),
        }


def problems(facts: Facts, market_is_open: bool) -> list[str]:
    """One sentence for each problem; none means healthy.

    Healthy means: every service answers, the gap ledger can be read, and the disk has room; while
    the market is open, every program streams and its heartbeat shows no problem.
    """
    sentences = [
        f"{name}: {service['detail']}"
        for name, service in facts["services"].items()
        if not service["ok"]
    ]
    if facts["gaps"]["open"] is None:
        sentences.append(
            "gaps: the ledger cannot be read, so it is unknown whether events are missing"
        )
    if disk := facts.get("disk"):
        scarce = scarcity(disk["folder"], disk["free_bytes"], disk["wanted_bytes"])
        sentences.extend(filter(None, [scarce]))
    if market_is_open:
        for name in PROGRAMS:
            stream = facts["streams"].get(name, {"state": "not known", "detail": ""})
            sentences.extend(f"{name}: {problem}" for problem in _stream_problems(stream))
    return sentences


def _stream_problems(stream: Facts) -> list[str]:
    reported = list(stream.get("problems", ()))
    if stream["state"] in WORKING_STATES:
        return reported
    detail = f": {stream['detail']}" if stream["detail"] else ""
    return [f"{stream['state']}{detail}", *reported]


def stream_facts(beat: Heartbeat | None, now: dt.datetime, settings: Settings) -> Facts:
    """One program by its last heartbeat; silent when heartbeats should arrive and do not."""
    if beat is None:
        return _no_stream("never seen")
    is_silent = beat.state != "stopped" and bool(absence(beat, now))
    is_alive = not is_silent and beat.state != "stopped"
    delay_ms = beat.arrival_delay_ms if is_alive else None
    return {
        "state": "silent" if is_silent else beat.state,
        "rate": 0.0 if is_silent else beat.rate,
        "lag": beat.lag,
        "newest_event": _iso(beat.newest_event),
        "restarts": beat.restarts,
        "reconnects": beat.counters.get("reconnects", 0),
        "retries": beat.counters.get("retries", 0),
        "refused": beat.counters.get("refused", 0),
        "arrival_delay_seconds": None if delay_ms is None else delay_ms / 1000,
        "detail": absence(beat, now) if is_silent else _channels(beat) or beat.detail,
        "problems": heartbeat_problems(beat, settings) if is_alive else [],
    }


def connector_facts(by_name: Mapping[str, ConnectorState] | None, lag: int | None) -> Facts:
    """The sink by Kafka Connect's states, the first connector's in Connect's own word.

    Connect counts no rows, so there is no rate; the lag is by the offsets it commits. None where
    Connect did not answer.
    """
    if by_name is None:
        return _no_stream("unknown") | {"rate": None, "lag": lag, "detail": "no answer of Connect"}
    problems = connectors.problems(by_name)
    shown = [f"{name} {connectors.shown(connector)}" for name, connector in by_name.items()]
    return _no_stream(connectors.worst_state(next(iter(by_name.values())))) | {
        "rate": None,
        "lag": lag,
        "detail": f"Kafka Connect: {', '.join(shown)}",
        "problems": [f"connector {name} {reason}" for name, reason in problems.items()],
    }


def _no_stream(state: str) -> Facts:
    numbers = dict.fromkeys(("restarts", "reconnects", "retries", "refused"), 0)
    unknown = dict.fromkeys(("lag", "newest_event", "arrival_delay_seconds"))
    return {"state": state, "rate": 0.0, "detail": "", "problems": [], **numbers, **unknown}


def _endpoints(settings: Settings) -> dict[str, str]:
    """Each service's address, empty where it is not set; the batch half may be left out."""
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
    if settings.stream_runner == "ecs":
        endpoints["ecs"] = settings.ecs_cluster
    if connectors.replaces(settings, "sink"):
        endpoints["connect"] = settings.kafka_connect_url
    if warehouse_name := settings.snowflake_host or settings.snowflake_account:
        endpoints["snowflake"] = warehouse_name
    if settings.airbyte_workspace_id:
        endpoints["airbyte"] = settings.airbyte_api_url
    return endpoints


def _queries(settings: Settings) -> dict[str, Callable[[], Any]]:
    """By `service` (its detail) or `service part`; each has its own connection, to run at once."""
    queries: dict[str, Callable[[], Any]] = {
        "exchange": lambda: _accepts_connections(settings.polygon_websocket_url),
        "exchange clock": lambda: market_clock.connect(settings),
        "kafka": lambda: _topics(settings),
        "kafka heartbeats": lambda: streams.heartbeats(settings, DEADLINE_SECONDS),
        "kafka gaps": lambda: gaps.ledger(settings, DEADLINE_SECONDS),
        "clickhouse tables": lambda: tables.tables(settings),
        "clickhouse alerts": lambda: tables.firing_alerts(settings),
        "s3": lambda: _subscriptions(settings),
        "ecs": lambda: services.summary(settings, dt.datetime.now(dt.UTC)),
        "snowflake": lambda: _warehouse(settings),
        "snowflake tables": lambda: warehouse.tables(settings),
        "airbyte": lambda: _syncs(settings),
    }
    if connectors.replaces(settings, "sink"):
        queries |= {
            "connect": lambda: connectors.summary(settings),
            "connect states": lambda: connectors.connectors(settings),
            "kafka lag": lambda: (
                streams.positions(settings, SINK_GROUP, FILTERED_TOPIC, DEADLINE_SECONDS).lag
            ),
        }
    return queries


def _gap_counts(ledger: Sequence[GapEntry] | None) -> dict[str, int | None]:
    """Gaps by state; None where the ledger cannot be read.

    `filling` counts those that are being filled, and the filled ones that are compared once more.
    """
    if ledger is None:
        return {"open": None, "filling": None, "verified": None, "waived": None}
    states = Counter(entry.state for entry in ledger)
    return {
        "open": states["open"] + states["unfillable"],
        "filling": states["filling"] + states["filled"],
        "verified": states["verified"],
        "waived": states["waived"],
    }


def _alerts(firing: Sequence[FiringAlert] | None) -> list[Facts] | None:
    """The alerts that fire, as the sensor `alerts` stored them; None where they cannot be read."""
    if firing is None:
        return None
    return [asdict(alert) | {"since": alert.since.isoformat()} for alert in firing]


def _failure(service: str, answers: Mapping[str, Answer], deadline_seconds: float) -> str:
    """Why a service is not ok; empty when it answered all its queries.

    A gap or a lag that cannot be read is no failure of Kafka.
    """
    for part, answer in answers.items():
        if part.partition(" ")[0] != service or part in ("kafka gaps", "kafka lag"):
            continue
        if answer.error is not None:
            return str(answer.error).splitlines()[0] if str(answer.error) else repr(answer.error)
        if not answer.has_value:
            return f"no answer within {deadline_seconds:.0f} s"
    return ""


def _detail(service: str, answers: Mapping[str, Answer]) -> str:
    if service == "clickhouse":
        return f"{len(value_of(answers, 'clickhouse tables') or ())} tables"
    return str(value_of(answers, service) or "")


def _service(name: str, endpoint: str, detail: str, ok: bool) -> Facts:
    if not endpoint:
        return {"ok": False, "endpoint": "", "detail": not_set([_VARIABLES[name]])}
    return {"ok": ok, "endpoint": endpoint, "detail": detail}


def _accepts_connections(url: str) -> str:
    """Raises OSError when nothing listens. A WebSocket of our own would evict the producer's."""
    parts = urlsplit(url)
    started = time.monotonic()
    with socket.create_connection(
        (parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)),
        timeout=CONNECT_SECONDS,
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


def _tables(tables_by_name: Mapping[str, TableFacts]) -> Facts:
    return {
        name: {"rows": table.rows, "newest": table.newest.isoformat() if table.newest else None}
        for name, table in sorted(tables_by_name.items())
    }


def _iso(milliseconds: int | None) -> str | None:
    return (
        None
        if milliseconds is None
        else dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat()
    )
