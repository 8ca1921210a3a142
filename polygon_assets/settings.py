"""Every environment variable the project reads, once, with its default and its reason.

Nothing here opens a connection, and nothing else in the project reads the environment.
"""

from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

NO_SECRET = SecretStr("")


class SettingsError(Exception):
    """A variable has a value that cannot be used; the message names it and the cure."""


class Settings(BaseSettings):
    """Endpoints, credentials and the few choices that differ between machines.

    The defaults are production's public endpoints; what has no sensible default is empty, so that the
    definitions load with nothing set, and `polygon-assets doctor` says what is missing.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @field_validator("snowflake_private_key", mode="before")
    @classmethod
    def _with_line_ends(cls, value: object) -> object:
        """Many places that hold variables keep a line's end as two characters."""
        return value.replace("\\n", "\n") if isinstance(value, str) else value

    polygon_api_key: SecretStr = Field(
        NO_SECRET, description="Key of the market-data account (Polygon, now Massive)."
    )
    polygon_websocket_url: str = Field(
        "wss://socket.massive.com/stocks",
        description="Real-time stocks cluster; wss://delayed.massive.com/stocks is 15 minutes late.",
    )
    polygon_rest_url: str = Field(
        "https://api.massive.com", description="Base address of the REST API."
    )
    polygon_requests_per_minute: int = Field(
        5, ge=0, description="REST calls a minute: 5 on the free plan, 0 for no limit (paid plans)."
    )

    kafka_bootstrap_servers: str = Field("", description="host:port,host:port of the brokers.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="SASL_SSL for Confluent Cloud."
    )
    kafka_sasl_mechanism: str = Field("PLAIN", description="Used when the protocol is SASL_*.")
    kafka_sasl_username: str = Field("", description="API key of the Kafka cluster.")
    kafka_sasl_password: SecretStr = Field(
        NO_SECRET, description="API secret of the Kafka cluster."
    )

    clickhouse_host: str = Field("", description="Host of ClickHouse's HTTP interface.")
    clickhouse_port: int = Field(
        8443, ge=1, le=65535, description="8443 for ClickHouse Cloud, 8123 without TLS."
    )
    clickhouse_secure: bool = Field(True, description="TLS on or off.")
    clickhouse_user: str = Field(
        "default", description="User that may create and write database `market`."
    )
    clickhouse_password: SecretStr = Field(NO_SECRET, description="Its password.")

    aws_endpoint_url_s3: str = Field(
        "", description="Empty for AWS; any S3-compatible server otherwise."
    )
    aws_region: str = Field("us-east-1", description="Region of the bucket.")
    aws_access_key_id: str = Field("", description="Empty where a role grants access (ECS, EC2).")
    aws_secret_access_key: SecretStr = Field(NO_SECRET, description="Goes with AWS_ACCESS_KEY_ID.")
    subscriptions_bucket: str = Field(
        "polygon-assets", description="Bucket of the subscription CSV."
    )
    subscriptions_key: str = Field(
        "subscriptions.csv",
        description="Key of the subscription CSV; the accepted set is published beside it.",
    )

    snowflake_account: str = Field("", description="Account identifier, ORGANISATION-ACCOUNT.")
    snowflake_user: str = Field(
        "", description="User that owns the schemas RAW and MARTS of the database."
    )
    snowflake_password: SecretStr = Field(
        NO_SECRET, description="Its password; a key pair is what Snowflake asks of services."
    )
    snowflake_private_key: SecretStr = Field(
        NO_SECRET,
        description="Its private key, PEM without a passphrase; used instead of a password.",
    )
    snowflake_role: str = Field("", description="Role to work as; empty for the user's default.")
    snowflake_warehouse: str = Field(
        "", description="Warehouse that computes; empty for the user's default."
    )
    snowflake_database: str = Field(
        "POLYGON", description="Database with the schemas RAW (written by Airbyte) and MARTS."
    )
    snowflake_host: str = Field(
        "",
        description="Empty for Snowflake; the host of a server that speaks its protocol otherwise.",
    )
    snowflake_port: int = Field(443, ge=1, le=65535, description="Its port.")
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
        description="Application that may change the workspace (Airbyte: Settings, Applications).",
    )
    airbyte_client_secret: SecretStr = Field(NO_SECRET, description="Its secret.")

    daily_history_days: int = Field(
        10,
        ge=0,
        le=2500,
        description="Trading days before today that are kept complete in Snowflake, back to 2026-01-02 at most.",
    )
    split_decisions: str = Field(
        "",
        description="What is right where the vendor's splits contradict each other: TICKER,DAY,OLD SHARES,NEW SHARES; separated by "
        "semicolons. The same as lines of polygon_assets/batch/marts/split_decisions.csv.",
    )
    volume_tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Fraction by which a day's volume in the stream may differ from the vendor's bar.",
    )
    price_tolerance: float = Field(
        0.001, ge=0, le=1, description="Fraction by which its open, high, low or close may differ."
    )

    market_calendar: Literal["NYSE", "24/7"] = Field(
        "NYSE",
        description="NYSE: pre-market to post-market of US trading days. 24/7: the simulated exchange, which never closes.",
    )
    market_closures: str = Field(
        "",
        description="Closures and early closes announced at short notice: YYYY-MM-DD (closed) or YYYY-MM-DD HH:MM (early close, New York), "
        "separated by semicolons. The same as lines of polygon_assets/market_closures.csv.",
    )
    market_replay: str = Field(
        "",
        pattern=r"^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2})?$",
        description="Day and New York time (2026-11-20T15:50) from which the simulated exchange replays; empty: market time is wall time.",
    )
    no_data_seconds: float = Field(
        120.0,
        gt=0,
        description="This long without any event in regular hours means a dead connection; raise it for a set of rarely traded symbols.",
    )
    max_connections_cooldown_seconds: float = Field(
        60.0,
        ge=0,
        description="Pause after the vendor said that another process uses the account's connection.",
    )
    sink_max_rows: int = Field(50_000, ge=1, description="Rows of one insert at the most.")
    sink_max_age_seconds: float = Field(
        0.5, gt=0, le=60, description="A row waits this long at the most before it is inserted."
    )
    drain_seconds: float = Field(
        10.0,
        gt=0,
        description="How long a stopped stream program may take to hand on what it accepted.",
    )
    alert_webhook_url: SecretStr = Field(
        NO_SECRET,
        description="Failed runs are posted here as JSON {text}; empty for the log alone.",
    )


ENDPOINTS = frozenset(
    {
        "polygon_api_key",
        "polygon_websocket_url",
        "kafka_bootstrap_servers",
        "clickhouse_host",
        "aws_endpoint_url_s3",
        "subscriptions_bucket",
        "snowflake_account",
        "snowflake_host",
        "airbyte_workspace_id",
    }
)
"""The settings that say which systems are meant; with one of them set, nobody means the embedded stack."""


def load_settings() -> Settings:
    """Read the environment. Raises SettingsError naming each bad variable."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{str(part['loc'][0]).upper()}={part['input']!r}: {part['msg']}"
            for part in error.errors()
        ]
        raise SettingsError("unusable settings:\n  " + "\n  ".join(lines)) from None
