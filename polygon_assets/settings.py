"""Every environment variable that the project reads, once, with its default and its meaning.

Add a variable here: nothing else that is shipped reads the environment. Opening a connection with
it belongs to `clients`.
"""

import base64
import datetime as dt
import ssl
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from polygon_assets.errors import PolygonAssetsError

NO_SECRET = SecretStr("")
SHORTEST_SECRET = 8
"""A shorter secret is a word, such as the embedded stack's, and would tear holes into any text."""
SHOWN_CHARACTERS = 200


class SettingsError(PolygonAssetsError):
    """A variable has an unusable value; the message names the variable and the cure."""


class Settings(BaseSettings):
    """Endpoints, credentials and the few choices that differ between machines.

    The defaults are production's public endpoints. A variable without a sensible default is empty,
    so that the definitions load with nothing set; `polygon-assets doctor` lists what is missing.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _utf_8(cls, value: object) -> object:
        """Refuse bytes that are no text: they would fail later, in an error without the name."""
        if isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise ValueError("must be UTF-8 text")
        return value

    @field_validator("market_replay")
    @classmethod
    def _moment(cls, value: str) -> str:
        if value and not 2003 <= dt.datetime.fromisoformat(value).year <= 2100:
            raise ValueError("must be between 2003 and 2100")
        return value

    @field_validator("snowflake_private_key", "snowflake_loader_private_key", mode="before")
    @classmethod
    def _with_line_breaks(cls, value: object) -> object:
        """Restore line breaks, which many secret stores keep as a backslash and an n."""
        return value.replace("\\n", "\n") if isinstance(value, str) else value

    @field_validator("ca_bundle")
    @classmethod
    def _readable(cls, path: str) -> str:
        """Refuse the file at the start: some clients would only say that they got no answer."""
        try:
            if path:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            raise ValueError(
                f"no certificate can be read from this file ({error.strerror}); name a PEM file "
                "that holds the certificates to trust, or leave CA_BUNDLE empty for the system's"
            ) from error
        return path

    polygon_api_key: SecretStr = Field(
        NO_SECRET, description="Key of the market-data account (Polygon, now Massive)."
    )
    polygon_websocket_url: str = Field(
        "wss://socket.massive.com/stocks",
        description="Real-time stocks cluster; wss://delayed.massive.com/stocks lags 15 minutes.",
    )
    polygon_rest_url: str = Field(
        "https://api.massive.com", description="Base address of the REST API."
    )
    polygon_requests_per_minute: int = Field(
        5,
        ge=0,
        le=1_000_000,
        description="REST calls a minute: 5 on the free plan, 0 for no limit (paid plans).",
    )

    producer_copies: int = Field(
        1,
        ge=1,
        le=100,
        description="Producers that run at the same time. Above 1 they choose a leader through "
        "Kafka, which alone connects to the vendor; another one replaces it within seconds.",
    )

    stream_runner: Literal["process", "ecs"] = Field(
        "process",
        description="Who runs the stream programs: process (a child process of the Dagster run) or "
        "ecs (an ECS service, which goes on when the run dies).",
    )
    ecs_cluster: str = Field(
        "", description="Name or ARN of the ECS cluster; needed where STREAM_RUNNER is ecs."
    )
    ecs_service_prefix: str = Field(
        "polygon-assets-",
        description="Start of the services' names, to which a program's name is added.",
    )
    ecs_start_seconds: float = Field(
        180.0,
        gt=0,
        le=86_400,
        description="An alert fires when a task of a service has not started after this long.",
    )
    aws_endpoint_url_ecs: str = Field(
        "", description="Empty for AWS; otherwise the address of a server with ECS's protocol."
    )
    ecs_container_metadata_uri_v4: str = Field(
        "",
        description="Set by ECS in each container, never by hand: names a program's task in its "
        "heartbeats.",
    )

    kafka_bootstrap_servers: str = Field("", description="host:port,host:port of the brokers.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="SASL_SSL for Confluent Cloud."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN",
        description="How user and password are proved when the protocol is SASL_*: PLAIN "
        "(Confluent Cloud), SCRAM-SHA-256 or SCRAM-SHA-512.",
    )
    kafka_sasl_username: str = Field("", description="API key of the Kafka cluster.")
    kafka_sasl_password: SecretStr = Field(
        NO_SECRET, description="API secret of the Kafka cluster."
    )
    kafka_replication_factor: int = Field(
        0,
        ge=0,
        le=32,
        description="Copies of each partition that `migrate` and `topics` ask for; 0 for the "
        "brokers' default (3 on Confluent Cloud).",
    )
    kafka_principals: str = Field(
        "",
        description="Kafka users whose ACLs and quotas `polygon-assets topics` manages: "
        "ROLE=PRINCIPAL (producer=User:sa-1), separated by semicolons; roles: producer, filter, "
        "sink, archiver, dagster, migrate.",
    )

    sink_runner: Literal["program", "connect"] = Field(
        "program",
        description="Who loads ClickHouse from Kafka: program (our sink, in run_sink) or connect "
        "(ClickHouse's official sink in Kafka Connect; run_sink is not launched).",
    )
    kafka_connect_url: str = Field(
        "",
        pattern=r"^(https?://[^@\s]+)?$",
        description="REST API of a Kafka Connect that runs ClickHouse's official sink; the login "
        "is in the next two, not in the address.",
    )
    kafka_connect_user: str = Field(
        "", description="User (API key) of the REST API; empty for none."
    )
    kafka_connect_password: SecretStr = Field(
        NO_SECRET, description="Password (API secret) of KAFKA_CONNECT_USER."
    )
    kafka_connect_connectors: str = Field(
        "polygon_stock_aggregates,polygon_dead_letters",
        min_length=1,
        description="Names of the connectors in deploy/connect, separated by commas; the first "
        "loads the aggregates.",
    )

    clickhouse_host: str = Field("", description="Host of ClickHouse's HTTP interface.")
    clickhouse_port: int = Field(
        8443, ge=1, le=65535, description="8443 for ClickHouse Cloud, 8123 without TLS."
    )
    clickhouse_secure: bool = Field(True, description="Whether the connection uses TLS.")
    clickhouse_user: str = Field(
        "default", description="User that can create and write the database `market`."
    )
    clickhouse_password: SecretStr = Field(NO_SECRET, description="Password of CLICKHOUSE_USER.")
    clickhouse_tables: Literal["single", "replicated", "cloud"] = Field(
        "single",
        description="Where `migrate` creates tables: single (one server), replicated (on each "
        "replica of CLICKHOUSE_CLUSTER) or cloud (ClickHouse Cloud).",
    )
    clickhouse_cluster: str = Field(
        "default",
        min_length=1,
        description="Cluster of the replicas, by its name in system.clusters; used where "
        "CLICKHOUSE_TABLES is replicated.",
    )
    clickhouse_writer_password: SecretStr = Field(
        NO_SECRET,
        description="Password that `polygon-assets clickhouse apply` gives to the user "
        "polygon_writer; empty: the user is left alone.",
    )
    clickhouse_reader_password: SecretStr = Field(
        NO_SECRET,
        description="The same for the user polygon_reader of page and dashboards.",
    )

    aws_endpoint_url_s3: str = Field(
        "", description="Empty for AWS; otherwise the address of an S3-compatible server."
    )
    aws_region: str = Field("us-east-1", description="Region of the bucket and of the ECS cluster.")
    aws_access_key_id: str = Field("", description="Empty if a role grants access (ECS, EC2).")
    aws_secret_access_key: SecretStr = Field(NO_SECRET, description="Secret of AWS_ACCESS_KEY_ID.")
    subscriptions_bucket: str = Field(
        "polygon-assets", description="Bucket of the subscription CSV."
    )
    subscriptions_key: str = Field(
        "subscriptions.csv",
        description="Key of the subscription CSV; the accepted set is published beside it.",
    )

    archive_bucket: str = Field(
        "", description="Bucket of the archive of raw events; empty for SUBSCRIPTIONS_BUCKET."
    )
    archive_prefix: str = Field(
        "archive/",
        pattern=r"^([^/].*/)?$",
        description="Start of the keys of the archive's objects; ends with a slash.",
    )
    archive_max_seconds: float = Field(
        300.0, gt=0, le=3600, description="Longest wait of a raw event before it is archived."
    )
    archive_max_bytes: int = Field(
        33_554_432,
        ge=1,
        description="Uncompressed bytes of raw events that are archived together; up to twice as "
        "many wait in memory.",
    )

    snowflake_account: str = Field("", description="Account identifier, ORGANISATION-ACCOUNT.")
    snowflake_user: str = Field(
        "", description="User that owns the schemas RAW and MARTS of the database."
    )
    snowflake_password: SecretStr = Field(
        NO_SECRET,
        description="Password of SNOWFLAKE_USER; services need a key pair instead.",
    )
    snowflake_private_key: SecretStr = Field(
        NO_SECRET,
        description="Private key of SNOWFLAKE_USER, PEM without a passphrase; used instead of "
        "the password.",
    )
    snowflake_role: str = Field(
        "", description="Role of the sessions; empty for the user's default."
    )
    snowflake_warehouse: str = Field(
        "", description="Warehouse of the sessions; empty for the user's default."
    )
    snowflake_database: str = Field(
        "POLYGON", description="Database with the schemas RAW (written by Airbyte) and MARTS."
    )
    snowflake_warehouse_size: Literal["XSMALL", "SMALL", "MEDIUM", "LARGE"] = Field(
        "XSMALL", description="Size that `polygon-assets snowflake apply` gives to the warehouse."
    )
    snowflake_auto_suspend_seconds: int = Field(
        60, ge=30, le=86_400, description="The warehouse suspends itself when idle for so long."
    )
    snowflake_credit_quota: int = Field(
        50,
        ge=1,
        le=100_000,
        description="Credits a month after which the resource monitor suspends the warehouse.",
    )
    snowflake_public_keys: str = Field(
        "",
        description="Public keys of the service users that `polygon-assets snowflake` manages: "
        "ROLE=FILE (transformer=dagster.pub) or ROLE=the key itself, separated by semicolons; "
        "roles: loader, transformer, reader.",
    )
    snowflake_loader_user: str = Field(
        "",
        description="User that `airbyte apply` gives to Airbyte (POLYGON_AIRBYTE); empty for "
        "SNOWFLAKE_USER with its key and role.",
    )
    snowflake_loader_private_key: SecretStr = Field(
        NO_SECRET, description="Private key of SNOWFLAKE_LOADER_USER, PEM without a passphrase."
    )
    snowflake_loader_role: str = Field(
        "", description="Role of SNOWFLAKE_LOADER_USER (POLYGON_LOADER)."
    )
    snowflake_host: str = Field(
        "",
        description="Empty for Snowflake; otherwise the host of a server with its protocol.",
    )
    snowflake_port: int = Field(443, ge=1, le=65535, description="Port of SNOWFLAKE_HOST.")
    snowflake_protocol: Literal["https", "http"] = Field(
        "https", description="http only for a server on the same machine."
    )

    airbyte_api_url: str = Field(
        "https://api.airbyte.com/v1",
        description="Airbyte's API; self-managed: https://HOST/api/public/v1.",
    )
    airbyte_configuration_api_url: str = Field(
        "https://cloud.airbyte.com/api/v1",
        description="Airbyte's configuration API; self-managed: https://HOST/api/v1.",
    )
    airbyte_workspace_id: str = Field(
        "", description="Workspace that holds the connections polygon_reference and polygon_daily."
    )
    airbyte_client_id: str = Field(
        "",
        description="Application that can change the workspace (Airbyte: Settings, Applications).",
    )
    airbyte_client_secret: SecretStr = Field(NO_SECRET, description="Secret of AIRBYTE_CLIENT_ID.")

    daily_history_days: int = Field(
        10,
        ge=0,
        le=2500,
        description="Trading days before today that are kept complete in Snowflake, back to "
        "2026-01-02 at most.",
    )
    split_decisions: str = Field(
        "",
        description="The right splits where the vendor's contradict each other: "
        "TICKER,DAY,OLD SHARES,NEW SHARES; separated by semicolons. The same as lines of "
        "polygon_assets/batch/marts/split_decisions.csv.",
    )
    volume_tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Fraction by which a day's volume in the stream may differ from the vendor's "
        "bar.",
    )
    price_tolerance: float = Field(
        0.001,
        ge=0,
        le=1,
        description="Fraction by which a day's open, high, low or close may differ from that bar.",
    )

    market_calendar: Literal["NYSE", "24/7"] = Field(
        "NYSE",
        description="NYSE: pre-market to post-market of US trading days. 24/7: the simulated "
        "exchange, which never closes.",
    )
    market_closures: str = Field(
        "",
        description="Closures and early closes announced at short notice: YYYY-MM-DD (closed) or "
        "YYYY-MM-DD HH:MM (early close, New York), separated by semicolons. The same as lines of "
        "polygon_assets/market_closures.csv.",
    )
    market_replay: str = Field(
        "",
        pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2})?$",
        description="Day and New York time (2026-11-20T15:50) from which the simulated exchange "
        "replays; empty: market time is wall time.",
    )
    no_data_seconds: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="A connection counts as dead after this long without any event in regular "
        "hours; raise it for a set of rarely traded symbols.",
    )
    max_connections_cooldown_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Pause after the vendor reported that another process uses the account's "
        "connection.",
    )
    stock_versions_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="Days that every version of a second is kept after its receipt; 0 keeps them "
        "for ever. `polygon-assets migrate` applies a change.",
    )
    sink_max_rows: int = Field(50_000, ge=1, le=10_000_000, description="Most rows of one insert.")
    sink_max_age_seconds: float = Field(
        0.5, gt=0, le=60, description="Longest wait of a row before it is inserted."
    )
    drain_seconds: float = Field(
        10.0,
        gt=0,
        le=3_600,
        description="How long a stopped stream program may take to deliver what it accepted.",
    )
    gap_fill_requests_per_minute: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="REST calls a minute for filling gaps; 0: as many as "
        "POLYGON_REQUESTS_PER_MINUTE allows.",
    )
    gap_fill_concurrency: int = Field(
        8, ge=1, le=64, description="REST calls that fill gaps at the same time."
    )
    gap_fill_max_seconds: float = Field(
        3600.0,
        gt=0,
        le=1_000_000_000,
        description="A longer gap is filled only when a person launches the job fill_gaps.",
    )
    gap_fill_max_requests: int = Field(
        20_000,
        ge=1,
        le=1_000_000_000,
        description="A gap that needs more REST calls is filled only when a person launches the "
        "job fill_gaps.",
    )
    prices_file: str = Field(
        "",
        description="CSV with the prices of production's services (item,unit,usd,as_of,source); "
        "empty for list prices.",
    )
    subscriptions_max_usd_per_month: float = Field(
        0.0,
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        description="A subscription CSV whose estimate is higher is not put in force; 0 for no "
        "limit.",
    )
    ca_bundle: str = Field(
        "",
        description="PEM file with the certificates of authorities that every client trusts; "
        "empty for the system's. No setting turns the verification off.",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_532,
        description="Port on which the producer serves /healthz, /readyz and /metrics; filter, "
        "sink and archiver use the next three. 0 for none.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address on which they are served, without a login: 0.0.0.0 in a container "
        "whose network only the monitoring can reach.",
    )
    alert_webhook_url: SecretStr = Field(
        NO_SECRET,
        description="Alerts and failed runs are posted here as JSON {text}; empty for the log "
        "only.",
    )
    alert_hold_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="An alert fires after its cause has lasted this long: a restart is no alert.",
    )
    alert_reminder_hours: float = Field(
        24.0, ge=0, le=8_760, description="Hours between reminders of a firing alert; 0 for none."
    )
    alert_gap_minutes: float = Field(
        30.0,
        gt=0,
        le=525_600,
        description="Longest time from the end of a gap until it is verified or waived. The last "
        "comparison is due 16 minutes after the end.",
    )
    alert_lag_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Longest wait of a received message for its next program; ARCHIVE_MAX_SECONDS "
        "more for the archiver.",
    )
    alert_silence_seconds: float = Field(
        90.0,
        gt=0,
        le=86_400,
        description="Greatest age of the newest event in regular hours; 15 minutes more on the "
        "delayed cluster.",
    )
    alert_clock_skew_seconds: float = Field(
        1.0,
        ge=0,
        le=86_400,
        description="How long a bar may arrive before its second ends: the vendor's clock is "
        "ahead of ours by as much.",
    )
    alert_refused_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Greatest fraction of the events of five minutes that a program may refuse.",
    )
    alert_day_open_minutes: float = Field(
        60.0,
        gt=0,
        le=525_600,
        description="Longest time from the end of a day's corrections until the day is closed.",
    )
    alert_disk_free_bytes: int = Field(
        2 * 1024**3,
        ge=0,
        description="Bytes that must be free on the disks of Dagster and of ClickHouse. A day of "
        "the whole market takes about 1 GB in ClickHouse, and a merge needs that space again.",
    )
    alert_restarts: int = Field(
        3,
        ge=1,
        le=1_000,
        description="A program that was restarted as often within ALERT_RESTART_MINUTES is in a "
        "restart loop.",
    )
    alert_restart_minutes: float = Field(
        10.0, gt=0, le=1_440, description="The interval in which restarts are counted."
    )

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether the brokers ask for user and password."""
        return self.kafka_security_protocol.startswith("SASL")

    def conceal(self, text: str) -> str:
        """The text with *** in place of each secret: a server may quote what it refuses."""
        values = [getattr(self, name) for name in type(self).model_fields]
        secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        # ClickHouse and Kafka Connect get user and password in a header, encoded.
        logins = (
            f"{self.clickhouse_user}:{self.clickhouse_password.get_secret_value()}",
            f"{self.kafka_connect_user}:{self.kafka_connect_password.get_secret_value()}",
        )
        encoded = [base64.b64encode(login.encode()).decode() for login in logins]
        for secret in (*secrets, *encoded):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


ENDPOINTS = frozenset(
    {
        "polygon_api_key",
        "polygon_websocket_url",
        "kafka_bootstrap_servers",
        "clickhouse_host",
        "aws_endpoint_url_s3",
        "subscriptions_bucket",
        "archive_bucket",
        "snowflake_account",
        "snowflake_host",
        "kafka_connect_url",
        "airbyte_workspace_id",
    }
)
"""The settings that choose systems: if one is set, commands do not use the embedded stack."""


def load_settings() -> Settings:
    """Read the environment. Raises SettingsError, which names each variable with a bad value."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            _problem(str(part["loc"][0]), part["input"], part["msg"]) for part in error.errors()
        ]
        raise SettingsError("unusable settings:\n  " + "\n  ".join(lines)) from None


def _problem(name: str, value: object, message: str) -> str:
    """One line that names the variable, its value unless it is a secret, and the cure."""
    is_secret = Settings.model_fields[name].annotation is SecretStr
    shown = "***" if is_secret else repr(value)[:SHOWN_CHARACTERS]
    return f"{name.upper()}={shown}: {message.removeprefix('Value error, ')}"
