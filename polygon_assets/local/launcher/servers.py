"""The embedded stack's servers as data: command, port, health check, preparation, variables.

Add a server or its settings here; running the servers belongs to `stack`. A server's `variables`
are those that production sets, so every program runs the same code against both.
"""

import datetime as dt
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polygon_assets.batch.airbyte.provision import provision
from polygon_assets.clients import clickhouse
from polygon_assets.local import broker
from polygon_assets.local.launcher import broken_parts, code_location
from polygon_assets.local.launcher.ports import HOST, answers
from polygon_assets.local.launcher.replay import replay_start
from polygon_assets.market_clock import calendar_of, replay_begins
from polygon_assets.provisioning.clickhouse.declaration import READER
from polygon_assets.serving.migrate import migrate
from polygon_assets.serving.version_retention import set_retention
from polygon_assets.settings import Settings
from polygon_assets.settings.page import PAGE_PORT

# All servers listen on 127.0.0.1 only, so these credentials prevent accidents, not attacks. The
# servers read secrets from their environment: everybody on the machine can read a command line.
_KEY = "local"
_BUCKET, _OBJECT_KEY, _REGION = "polygon-assets", "subscriptions.csv", "us-east-1"
_WAREHOUSE = "POLYGON"
_WORKSPACE = "7c5e2c1e-3f0b-4b53-9d6e-0f4c0a3b9d11"
_CLICKHOUSE_USER = "default"
_CLICKHOUSE_LOGIN = {"X-ClickHouse-User": _CLICKHOUSE_USER, "X-ClickHouse-Key": _KEY}
EMBEDDED, APACHE = "embedded", "apache"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """How to start, check and reach one server."""

    name: str
    preferred_port: int
    command: Callable[[int, Path], list[str]]
    """Takes the port and the data directory."""
    variables: Callable[[int], dict[str, str]]
    """Takes the port; the environment variables that lead programs to the server."""
    own_variables: dict[str, str] = field(default_factory=dict)
    """Variables of this process only; they override those of all servers."""
    healthy: Callable[[int], bool] = lambda _: True
    """Takes the port; true once the server can serve."""
    prepare: Callable[[Settings], None] = lambda _: None
    """Runs after each start, so it must be repeatable."""
    repair: Callable[[int], str] = lambda _: ""
    """Takes the port of a server that answers, repairs its inside, and returns a report."""
    broken: Callable[[int], str] = lambda _: ""
    """Takes the port of a server that answers; says why it must start again, if it must."""
    lost_on_restart: str = ""
    """A sentence about the data that a new process of the server has lost."""
    drain_seconds: float = 0.0
    """Above 0, the server uses the others: it and its children stop first, within this time."""
    delivers: Callable[[Sequence[str]], bool] = lambda _: True
    """Takes a descendant's command line: whether a stop waits until that process has ended."""


def embedded_servers(
    exchange_options: Sequence[str] = (), kafka: str = EMBEDDED
) -> tuple[Server, ...]:
    """All servers; `exchange_options` go to `python -m polygon_assets.local.exchange`.

    `kafka` is one of KAFKAS.
    """
    broker_server = KAFKAS[kafka]
    return (_exchange(exchange_options), broker_server, _CLICKHOUSE, _S3, _SNOWFLAKE, _AIRBYTE)


def dagster(project: Path, port: int, home: Path | None = None) -> Server:
    """`dagster dev` with workspace.yaml of `project` and dagster.yaml of `home` or `project`."""
    return Server(
        name="dagster",
        preferred_port=port,
        command=lambda port, _: [
            *(sys.executable, "-m", "dagster", "dev", "--host", HOST, "--port", str(port)),
            *("--workspace", str(project / "workspace.yaml")),
        ],
        variables=lambda port: {
            "DAGSTER_HOME": str(home or project),
            "DAGSTER_URL": f"http://{HOST}:{port}",
        },
        healthy=lambda port: answers(port, "/server_info"),
        repair=code_location.reload_failed_locations,
        # After its run is terminated, a stream program delivers its accepted messages within 10 s
        # (settings.drain_seconds); one of several producers waits up to 10 s before that.
        drain_seconds=25.0,
        delivers=_is_run_or_program,
    )


def page() -> Server:
    """The live page."""
    return Server(
        name="page",
        preferred_port=PAGE_PORT,
        command=lambda port, _: [
            *(sys.executable, "-m", "polygon_assets.cli", "page", "--port", str(port)),
        ],
        variables=lambda port: {"PAGE_URL": f"http://{HOST}:{port}"},
        own_variables={"CLICKHOUSE_USER": READER},
        healthy=lambda port: answers(port, "/liveness"),
    )


def _is_run_or_program(command: Sequence[str]) -> bool:
    """Whether a process below `dagster dev` is a run (Dagster forks it) or a stream program."""
    return "--multiprocessing-fork" in command or "stream" in command


def _exchange(options: Sequence[str]) -> Server:
    begins = replay_start(options)
    market = ("--calendar", "NYSE", "--no-earlier-trades") if begins else ("--calendar", "24/7")
    return Server(
        name="exchange",
        preferred_port=8765,
        command=lambda port, _: _python("exchange", port, *market, *options),
        variables=lambda port: {
            "POLYGON_API_KEY": _KEY,
            "POLYGON_WEBSOCKET_URL": f"ws://{HOST}:{port}/stocks",
            "POLYGON_REST_URL": f"http://{HOST}:{port}",
            "POLYGON_REQUESTS_PER_MINUTE": "0",
            "MARKET_CALENDAR": "NYSE" if begins else "24/7",
            # Stream and daily bars come from the same market: any difference is a fault.
            "VOLUME_TOLERANCE": "0",
            "PRICE_TOLERANCE": "0",
            # A replay loads only its day, and before its close the day before.
            **(
                {"MARKET_REPLAY": f"{begins:%Y-%m-%dT%H:%M}", "DAILY_HISTORY_DAYS": "1"}
                if begins
                else {}
            ),
        },
        healthy=lambda port: answers(port, "/healthz"),
    )


def _migrate(settings: Settings) -> None:
    client = clickhouse.connect(settings)
    try:
        migrate(client, dt.datetime.now(dt.UTC))
        set_retention(client, settings.stock_versions_days)
    finally:
        client.close()
    for loss in broken_parts.loss_warnings(settings.clickhouse_port, _CLICKHOUSE_LOGIN):
        logger.warning("clickhouse: %s", loss)


def _provision(settings: Settings) -> None:
    calendar = calendar_of(settings)
    provision(
        settings,
        calendar.previous_day(calendar.day_of(replay_begins(settings) or dt.datetime.now(dt.UTC))),
    )


def _python(module: str, port: int, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        f"polygon_assets.local.{module}",
        "--host",
        HOST,
        "--port",
        str(port),
        *arguments,
    ]


def _kafka_variables(port: int) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{port}",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    }


KAFKAS = {
    EMBEDDED: Server(
        name="kafka",
        preferred_port=9092,
        command=lambda port, _: broker.command(HOST, port),
        # This broker gives a dead leader's partition away only three seconds after its session.
        variables=lambda port: _kafka_variables(port) | {"LEADER_SESSION_SECONDS": "4"},
        prepare=broker.create_topics,
        lost_on_restart="it keeps everything in memory, so its topics are empty now",
    ),
    APACHE: Server(
        name="kafka",
        preferred_port=9092,
        command=lambda port, data: _python("apache_kafka", port, "--path", str(data)),
        variables=_kafka_variables,
        prepare=broker.create_topics,
    ),
}
_CLICKHOUSE = Server(
    name="clickhouse",
    preferred_port=8123,
    command=lambda port, data: _python(
        "clickhouse",
        port,
        *("--path", str(data), "--user", _CLICKHOUSE_USER, "--reader", READER),
    ),
    variables=lambda port: {
        "CLICKHOUSE_HOST": HOST,
        "CLICKHOUSE_PORT": str(port),
        "CLICKHOUSE_SECURE": "false",
        "CLICKHOUSE_USER": _CLICKHOUSE_USER,
        "CLICKHOUSE_PASSWORD": _KEY,
    },
    healthy=lambda port: answers(port, "/ping"),
    prepare=_migrate,
    broken=lambda port: broken_parts.broken_part(port, _CLICKHOUSE_LOGIN),
)
_S3 = Server(
    name="s3",
    preferred_port=9000,
    command=lambda port, data: _python(
        "s3",
        port,
        "--path",
        str(data),
        "--bucket",
        _BUCKET,
        "--key",
        _OBJECT_KEY,
        "--region",
        _REGION,
    ),
    variables=lambda port: {
        "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_REGION": _REGION,
        "SUBSCRIPTIONS_BUCKET": _BUCKET,
        "SUBSCRIPTIONS_KEY": _OBJECT_KEY,
    },
    healthy=lambda port: answers(port, "/"),
)
_SNOWFLAKE = Server(
    name="snowflake",
    preferred_port=8084,
    command=lambda port, data: _python(
        "snowflake",
        port,
        "--path",
        str(data),
        "--database",
        _WAREHOUSE,
        "--schema",
        "RAW",
        "--schema",
        "MARTS",
    ),
    variables=lambda port: {
        "SNOWFLAKE_ACCOUNT": "fakesnow",
        "SNOWFLAKE_USER": _KEY,
        "SNOWFLAKE_PASSWORD": _KEY,
        "SNOWFLAKE_HOST": HOST,
        "SNOWFLAKE_PORT": str(port),
        "SNOWFLAKE_PROTOCOL": "http",
        "SNOWFLAKE_DATABASE": _WAREHOUSE,
    },
    healthy=lambda port: answers(port, "/healthz"),
)
_AIRBYTE = Server(
    name="airbyte",
    preferred_port=8001,
    command=lambda port, data: _python(
        "airbyte", port, "--path", str(data), "--workspace-id", _WORKSPACE, "--client-id", _KEY
    ),
    variables=lambda port: {
        "AIRBYTE_API_URL": f"http://{HOST}:{port}/api/public/v1",
        "AIRBYTE_CONFIGURATION_API_URL": f"http://{HOST}:{port}/api/v1",
        "AIRBYTE_WORKSPACE_ID": _WORKSPACE,
        "AIRBYTE_CLIENT_ID": _KEY,
        "AIRBYTE_CLIENT_SECRET": _KEY,
    },
    healthy=lambda port: answers(port, "/api/public/v1/health"),
    prepare=_provision,
)
