"""What `polygon-assets status` tells: every piece, reachable or not, and whether the whole is healthy.

Gathering is done by `evidence`; here the answers become one structure, and the structure a table. The keys of the structure are a
contract with scripts: some may be added, none renamed.
"""

import datetime as dt
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from rich.console import Group
from rich.table import Table

from polygon_assets.clients import market_clock, subscription_store
from polygon_assets.clients.airbyte import AirbyteApi, AirbyteError
from polygon_assets.clients.market_clock import MarketClockError
from polygon_assets.clients.subscription_store import SubscriptionStoreError
from polygon_assets.evidence import EvidenceError, streams, tables, warehouse
from polygon_assets.evidence.tables import TableFacts
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import FILTERED_TOPIC, RAW_TOPIC, Heartbeat
from polygon_assets.settings import Settings

PROGRAMS = ("producer", "filter", "sink")
FRESH_SECONDS = 15
"""Heartbeats come once a second; after 15 s without one nobody lives there."""
KNOCK_SECONDS = 3.0

Facts = dict[str, Any]


def gather(settings: Settings, now: dt.datetime) -> Facts:
    """The whole picture as plain JSON values, as described in the module's head."""
    services = {
        "exchange": _service(settings.polygon_websocket_url, lambda: _knock(settings.polygon_websocket_url)),
        "kafka": _service(settings.kafka_bootstrap_servers, lambda: _topics(settings)),
        "clickhouse": _service(f"{settings.clickhouse_host}:{settings.clickhouse_port}", lambda: f"{len(tables.tables(settings))} tables"),
        "s3": _service(f"s3://{settings.subscriptions_bucket}/{settings.subscriptions_key}", lambda: _subscriptions(settings)),
    }
    # The batch half may be left out: then nothing is wrong with it.
    if warehouse_name := settings.snowflake_host or settings.snowflake_account:
        services["snowflake"] = _service(warehouse_name, lambda: _warehouse(settings))
    if settings.airbyte_workspace_id:
        services["airbyte"] = _service(settings.airbyte_api_url, lambda: _syncs(settings))
    facts: Facts = {
        "services": services,
        "streams": _told_by(services["kafka"], lambda: _streams(settings, now)),
        "tables": {
            **_told_by(services["clickhouse"], lambda: _tables(tables.tables(settings))),
            **(_told_by(services["snowflake"], lambda: _tables(warehouse.tables(settings))) if "snowflake" in services else {}),
        },
        "gaps": {"open": _open_gaps(settings) if services["kafka"]["ok"] else None, "filling": 0},
    }
    return {"healthy": is_healthy(facts, _market_is_open(settings, now)), **facts}


def _market_is_open(settings: Settings, now: dt.datetime) -> bool:
    """It counts as open where nobody knows: a replay whose exchange does not answer is not healthy in any case."""
    try:
        return calendar_of(settings).is_open(market_clock.connect(settings).market(now))
    except MarketClockError:
        return True


def is_healthy(facts: Facts, market_is_open: bool) -> bool:
    """Every service answers; while the market is open, every program also streams."""
    services_ok = all(service["ok"] for service in facts["services"].values())
    streaming = all(facts["streams"].get(name, {}).get("state") == "streaming" for name in PROGRAMS)
    return services_ok and (streaming or not market_is_open)


def render(facts: Facts) -> Group:
    """The picture for people."""
    services = [(_mark(each["ok"]) + name, each["endpoint"], each["detail"]) for name, each in facts["services"].items()]
    programs = [(_mark(each["state"] == "streaming") + name, *_stream_cells(each)) for name, each in facts["streams"].items()]
    rows = [(name, _text(each["rows"]), _time(each["newest"])) for name, each in facts["tables"].items()]
    return Group(
        _table(("services", "endpoint", "detail"), services),
        _table(("streams", "state", "rate", "lag", "newest event", "restarts", "detail"), programs),
        _table(("tables", "rows", "newest"), rows),
        f"gaps open: {_text(facts['gaps']['open'])}",
        "[green]healthy[/]" if facts["healthy"] else "[red]not healthy[/]",
    )


def _stream_cells(each: Facts) -> tuple[str, ...]:
    cells = (each["state"], f"{each['rate']:,.0f}/s", each["lag"], _time(each["newest_event"]), each["restarts"], each["detail"])
    return tuple(_text(cell) for cell in cells)


def _service(endpoint: str, ask: Callable[[], str]) -> Facts:
    if not endpoint.strip(":0123456789"):
        return {"ok": False, "endpoint": "", "detail": "not set; `polygon-assets doctor` says how to get it"}
    try:
        return {"ok": True, "endpoint": endpoint, "detail": ask()}
    except (AirbyteError, EvidenceError, SubscriptionStoreError, OSError) as error:
        return {"ok": False, "endpoint": endpoint, "detail": _first_line(error)}


def _told_by(service: Facts, ask: Callable[[], Facts]) -> Facts:
    """What a service that answered has to tell; nothing, and the service is not ok, where it fails after all."""
    if not service["ok"]:
        return {}
    try:
        return ask()
    except EvidenceError as error:
        service |= {"ok": False, "detail": _first_line(error)}
        return {}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _knock(url: str) -> str:
    """Whether something listens there: a connection of our own would evict the producer's."""
    parts = urlsplit(url)
    started = time.monotonic()
    with socket.create_connection((parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)), timeout=KNOCK_SECONDS):
        return f"accepts connections ({(time.monotonic() - started) * 1000:.0f} ms)"


def _topics(settings: Settings) -> str:
    return ", ".join(f"{topic} {streams.message_count(settings, topic):,}" for topic in (RAW_TOPIC, FILTERED_TOPIC))


def _subscriptions(settings: Settings) -> str:
    accepted = subscription_store.connect(settings).accepted()
    return f"{len(accepted.channels)} channels in force, version {accepted.version}" if accepted else "no set in force yet"


def _streams(settings: Settings, now: dt.datetime) -> Facts:
    beats = streams.heartbeats(settings)
    return {name: stream_facts(beats.get(name), now) for name in PROGRAMS}


def stream_facts(beat: Heartbeat | None, now: dt.datetime) -> Facts:
    """One program by its last heartbeat: one that should still be heard and is not, is silent."""
    if beat is None:
        return {"state": "never seen", "rate": 0.0, "lag": None, "newest_event": None, "restarts": 0, "detail": ""}
    age = now.timestamp() - beat.sent_at / 1000
    lost = age > FRESH_SECONDS and beat.state != "stopped"
    return {
        "state": "silent" if lost else beat.state,
        "rate": 0.0 if lost else beat.rate,
        "lag": beat.lag,
        "newest_event": _iso(beat.newest_event),
        "restarts": beat.counters.get("reconnects", 0) + beat.counters.get("retries", 0),
        "detail": f"no heartbeat for {age:,.0f} s" if lost else _channels(beat) or beat.detail,
    }


def _channels(beat: Heartbeat) -> str:
    return f"{beat.confirmed}/{beat.desired} channels confirmed" if beat.program == "producer" and beat.state == "streaming" else ""


def _warehouse(settings: Settings) -> str:
    days = warehouse.fact_days(settings)
    return f"database {settings.snowflake_database}, {len(days)} trading days" + (f" up to {max(days)}" if days else "")


def _syncs(settings: Settings) -> str:
    """The newest job of each connection."""
    with closing(AirbyteApi(settings, patience_seconds=0)) as api:
        newest = {connection["name"]: api.jobs(connection["connectionId"], limit=1) for connection in api.connections()}
    return ", ".join(f"{name} {jobs[0]['status'] if jobs else 'never synced'}" for name, jobs in sorted(newest.items())) or "no connection"


def _tables(found: Mapping[str, TableFacts]) -> Facts:
    return {
        name: {"rows": table.rows, "newest": table.newest.isoformat() if table.newest else None} for name, table in sorted(found.items())
    }


def _open_gaps(settings: Settings) -> int | None:
    """None when the ledger cannot be read: unknown is not zero."""
    try:
        return len(streams.open_gaps(settings))
    except EvidenceError:
        return None


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat()


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    return table


def _mark(ok: bool) -> str:
    return "[green]●[/] " if ok else "[red]●[/] "


def _time(iso: str | None) -> str:
    return "-" if iso is None else dt.datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S UTC")


def _text(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
