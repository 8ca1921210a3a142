"""What loads ClickHouse from Kafka: our sink with its batch size, or Kafka Connect.

The tables that are loaded belong to `clickhouse`.
"""

from typing import Literal

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class SinkSettings(SettingsGroup):
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
    sink_max_rows: int = Field(50_000, ge=1, le=10_000_000, description="Most rows of one insert.")
    sink_max_age_seconds: float = Field(
        0.5, gt=0, le=60, description="Longest wait of a row before it is inserted."
    )
