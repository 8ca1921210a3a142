"""What `polygon-assets doctor` finds: each setting and endpoint tried once, with its cure.

Add a thing to try here; nothing is changed. What the vendor's plan includes belongs to
`entitlements`.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from polygon_assets.clients import archive_store, market_clock, subscription_store
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.airbyte.transport import AirbyteError
from polygon_assets.clients.archive_store import ArchiveStoreError
from polygon_assets.clients.market_clock import MarketClockError
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.clients.polygon_answers import PolygonApiError
from polygon_assets.clients.subscription_store import SubscriptionStoreError
from polygon_assets.inspection import (
    InspectionError,
    connectors,
    services,
    streams,
    table_layout,
    tables,
    warehouse,
)
from polygon_assets.inspection.disk import free_bytes, scarcity
from polygon_assets.inspection.entitlements import rest as rest_plan
from polygon_assets.inspection.entitlements import stream as stream_plan
from polygon_assets.inspection.finding import Finding
from polygon_assets.market_clock import calendar_of
from polygon_assets.serving.migrate import MigrationError
from polygon_assets.settings import Settings
from polygon_assets.topics import TOPICS

KNOWN_ERRORS = (
    AirbyteError,
    ArchiveStoreError,
    InspectionError,
    MigrationError,
    PolygonApiError,
    SubscriptionStoreError,
)


def examine(
    settings: Settings, folder: Path, connections: Collection[str], *, entitlements: bool = False
) -> Iterator[Finding]:
    """Try everything, in the order in which it is needed.

    `folder` is where this machine writes; `connections` must exist in the Airbyte workspace.
    `entitlements` asks the vendor about each endpoint and channel, within its requests per minute.
    """
    for finding in _findings(settings, folder, connections, entitlements):
        yield replace(finding, message=settings.conceal(finding.message))


def entitlement_seconds(settings: Settings) -> float:
    """How long the requests of `entitlements` take at least."""
    per_minute = settings.polygon_requests_per_minute
    return len(rest_plan.ENDPOINTS) * 60 / per_minute if per_minute else 0.0


def _findings(
    settings: Settings, folder: Path, connections: Collection[str], entitlements: bool
) -> Iterator[Finding]:
    # One client, so that all requests together keep to POLYGON_REQUESTS_PER_MINUTE.
    rest = PolygonRest(settings, rest_plan.PATIENCE_SECONDS if entitlements else 0)
    yield _disk(folder, free_bytes(folder), settings.alert_disk_free_bytes)
    yield _trust(settings)
    yield (market_data := _market_data(settings, rest))
    yield from _stream_findings(settings)
    yield from _batch_findings(settings, connections)
    if entitlements and market_data.ok:
        yield from _rest_plan(settings, rest)
        yield from stream_plan.ask(settings)


def _market_data(settings: Settings, rest: PolygonRest) -> Finding:
    return _try(
        "market data",
        "POLYGON_API_KEY",
        settings.polygon_api_key.get_secret_value(),
        lambda: _market_status(settings, rest),
        _KEY_CURE,
    )


def _rest_plan(settings: Settings, rest: PolygonRest) -> Iterator[Finding]:
    try:
        now = market_clock.connect(settings).market(dt.datetime.now(dt.UTC))
    except MarketClockError as error:
        yield Finding("plan: endpoints", False, f"not asked: {error}", rest_plan.AGAIN_CURE)
        return
    yield from rest_plan.ask(rest, calendar_of(settings), now)


def _stream_findings(settings: Settings) -> list[Finding]:
    return [
        _try(
            "Kafka",
            "KAFKA_BOOTSTRAP_SERVERS",
            settings.kafka_bootstrap_servers,
            lambda: _topics(settings),
            _KAFKA_CURE,
        ),
        _try(
            "ClickHouse",
            "CLICKHOUSE_HOST",
            settings.clickhouse_host,
            lambda: _tables(settings),
            _CLICKHOUSE_CURE,
        ),
        _try(
            "subscriptions",
            "SUBSCRIPTIONS_BUCKET",
            settings.subscriptions_bucket,
            lambda: _csv(settings),
            _S3_CURE,
        ),
        _try(
            "archive",
            "ARCHIVE_BUCKET",
            settings.archive_bucket or settings.subscriptions_bucket,
            lambda: _archive(settings),
            _ARCHIVE_CURE,
        ),
        *(_runner_findings(settings) if settings.stream_runner == "ecs" else []),
        *(_connect_findings(settings) if connectors.replaces(settings, "sink") else []),
    ]


def _runner_findings(settings: Settings) -> list[Finding]:
    return [
        _try("ECS", "ECS_CLUSTER", settings.ecs_cluster, lambda: _services(settings), _ECS_CURE)
    ]


def _connect_findings(settings: Settings) -> list[Finding]:
    return [
        _try(
            "Kafka Connect",
            "KAFKA_CONNECT_URL",
            settings.kafka_connect_url,
            lambda: connectors.summary(settings),
            _CONNECT_CURE,
        )
    ]


def _batch_findings(settings: Settings, connections: Collection[str]) -> list[Finding]:
    return [
        _try(
            "Snowflake",
            "SNOWFLAKE_ACCOUNT",
            settings.snowflake_host or settings.snowflake_account,
            lambda: _warehouse(settings),
            _SNOWFLAKE_CURE,
        ),
        _try(
            "Airbyte",
            "AIRBYTE_WORKSPACE_ID",
            settings.airbyte_workspace_id,
            lambda: _connections(settings, connections),
            _AIRBYTE_CURE,
        ),
    ]


def _disk(folder: Path, free: int, wanted: int) -> Finding:
    scarce = scarcity(str(folder.resolve()), free, wanted)
    return Finding(
        "disk",
        not scarce,
        scarce or f"{free / 1024**3:,.1f} GB are free for {folder.resolve()}",
        _DISK_CURE,
    )


def _trust(settings: Settings) -> Finding:
    """What the certificates are checked against; reading the settings has proved the file."""
    source = f"CA_BUNDLE={settings.ca_bundle}" if settings.ca_bundle else "the system's authorities"
    return Finding("TLS", True, f"every server's certificate is checked against {source}")


def _try(name: str, variable: str, value: str, attempt: Callable[[], str], cure: str) -> Finding:
    if not value:
        return Finding(name, False, f"{variable} is not set", cure)
    try:
        return Finding(name, True, attempt())
    except ModuleNotFoundError as error:
        return Finding(name, False, f"this installation has no {error.name}", _PACKAGE_CURE)
    except KNOWN_ERRORS as error:
        message = str(error).splitlines()[0]
        untrusted = "certificate verify failed" in message
        return Finding(name, False, message, _CERTIFICATE_CURE if untrusted else cure)


def _market_status(settings: Settings, rest: PolygonRest) -> str:
    now = rest.get_market_status()
    return f"{settings.polygon_rest_url} answers; the market is {now.market}"


def _topics(settings: Settings) -> str:
    if missing := streams.missing_topics(settings):
        raise InspectionError(
            f"{settings.kafka_bootstrap_servers} answers, but has no topic {', '.join(missing)}"
        )
    return f"{settings.kafka_bootstrap_servers} has all {len(TOPICS)} topics"


def _tables(settings: Settings) -> str:
    if settings.clickhouse_tables != "single":
        facts = tables.server_facts(settings)
        if problems := list(table_layout.problems(settings, facts)):
            raise InspectionError("; ".join(problems))
    if pending := tables.pending_migrations(settings):
        raise InspectionError(
            f"{settings.clickhouse_host} answers, but {len(pending)} migration(s) are not applied: "
            f"{', '.join(pending)}; `polygon-assets migrate` applies them"
        )
    count = len(tables.tables(settings))
    return f"{settings.clickhouse_host} has {count} tables in database market, up to date"


def _csv(settings: Settings) -> str:
    etag = subscription_store.connect(settings).csv_etag()
    return f"s3://{settings.subscriptions_bucket}/{settings.subscriptions_key} exists (ETag {etag})"


def _archive(settings: Settings) -> str:
    store = archive_store.connect(settings)
    store.check()
    return f"{store.address} can be read"


def _services(settings: Settings) -> str:
    counts = services.desired_counts(settings)
    return f"cluster {settings.ecs_cluster} has the services of {', '.join(counts)}"


def _warehouse(settings: Settings) -> str:
    count = len(warehouse.tables(settings))
    return f"database {settings.snowflake_database} has {count} tables in RAW and MARTS"


def _connections(settings: Settings, needed: Collection[str]) -> str:
    with closing(AirbyteApi(settings, patience_seconds=0)) as api:
        missing = set(needed) - {connection["name"] for connection in api.connections()}
    if missing:
        raise AirbyteError(
            f"{settings.airbyte_api_url} answers, but the workspace has no connection "
            f"{', '.join(sorted(missing))}"
        )
    return f"{settings.airbyte_api_url} has the connections {', '.join(needed)}"


_DISK_CURE = (
    "delete what is not needed; `make clean` removes the embedded stack's data and all caches"
)
_PACKAGE_CURE = (
    "run `polygon-assets doctor` where the batch half runs: the image `dagster` has every package"
)
_CERTIFICATE_CURE = (
    "the server's certificate is of an authority that this machine does not trust, or of another "
    "server: check the address, and let CA_BUNDLE name a PEM file with the right authority"
)
_KEY_CURE = (
    "the key is on the dashboard of the market-data account; real-time aggregates need a paid "
    "stocks plan"
)
_KAFKA_CURE = (
    "the brokers' addresses, users and rights are on the cluster's page; then "
    "`polygon-assets migrate` creates the topics"
)
_CLICKHOUSE_CURE = (
    "host, user and password are under Connect in ClickHouse Cloud; `polygon-assets clickhouse "
    "apply` creates the user polygon_writer, `polygon-assets migrate` the tables"
)
_S3_CURE = (
    "create the bucket, grant read and write to it, then `polygon-assets subscriptions push FILE`"
)
_ARCHIVE_CURE = "create the bucket, or set ARCHIVE_BUCKET; grant list, read and write to it"
_ECS_CURE = (
    "ECS_CLUSTER and ECS_SERVICE_PREFIX must name deployed services, one for each stream program; "
    "Dagster's role needs ecs:DescribeServices, ecs:UpdateService, ecs:ListTasks, "
    "ecs:DescribeTasks and ecs:StopTask"
)
_CONNECT_CURE = (
    "KAFKA_CONNECT_URL must lead to Connect's REST API; `polygon-assets connect apply` creates the "
    "connectors of deploy/connect"
)
_SNOWFLAKE_CURE = (
    "`polygon-assets snowflake apply` creates database, warehouse, roles and service users; the "
    "private key of POLYGON_DAGSTER goes to SNOWFLAKE_PRIVATE_KEY"
)
_AIRBYTE_CURE = (
    "the workspace id is in its address, id and secret under Settings, Applications; then "
    "`polygon-assets airbyte apply`"
)
