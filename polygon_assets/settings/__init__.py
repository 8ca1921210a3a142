"""All environment variables that the project reads, as one `Settings`.

Add a variable to the module of its subject, and to deploy/env.example, which lists all of them.
Nothing else that is shipped reads the environment; opening a connection belongs to `clients`.
"""

import base64
from typing import Self

from pydantic import SecretStr, ValidationError, model_validator

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings.airbyte import AirbyteSettings
from polygon_assets.settings.alerts import AlertSettings
from polygon_assets.settings.batch import BatchSettings
from polygon_assets.settings.certificates import CertificateSettings
from polygon_assets.settings.clickhouse import ClickHouseSettings
from polygon_assets.settings.costs import CostSettings
from polygon_assets.settings.gap_filling import GapFillingSettings
from polygon_assets.settings.group import NO_SECRET
from polygon_assets.settings.kafka import KafkaSettings
from polygon_assets.settings.market import MarketSettings
from polygon_assets.settings.page import PageSettings
from polygon_assets.settings.producer import ProducerSettings
from polygon_assets.settings.reconciliation import ReconciliationSettings
from polygon_assets.settings.runner import RunnerSettings
from polygon_assets.settings.s3 import S3Settings
from polygon_assets.settings.sink import SinkSettings
from polygon_assets.settings.snowflake import SnowflakeSettings
from polygon_assets.settings.vendor import VendorSettings

__all__ = [
    "ENDPOINTS",
    "NO_SECRET",
    "SHOWN_CHARACTERS",
    "Settings",
    "SettingsError",
    "load_settings",
]

SHORTEST_SECRET = 8
"""A shorter secret is a word, such as the embedded stack's, and would tear holes into any text."""
SHOWN_CHARACTERS = 200


class SettingsError(PolygonAssetsError):
    """A variable has an unusable value; the message names the variable and the cure."""


class Settings(
    VendorSettings,
    ProducerSettings,
    RunnerSettings,
    KafkaSettings,
    SinkSettings,
    ClickHouseSettings,
    S3Settings,
    SnowflakeSettings,
    AirbyteSettings,
    BatchSettings,
    ReconciliationSettings,
    MarketSettings,
    GapFillingSettings,
    CostSettings,
    PageSettings,
    CertificateSettings,
    AlertSettings,
):
    """Endpoints, credentials and the few choices that differ between machines.

    The defaults are production's public endpoints. A variable without a sensible default is empty,
    so that the definitions load with nothing set; `polygon-assets doctor` lists what is missing.
    """

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether the brokers ask for user and password."""
        return self.kafka_security_protocol.startswith("SASL")

    def copies(self, program: str) -> int:
        """How many copies of a stream program run at the same time."""
        copies: int = getattr(self, f"{program}_copies")
        return copies

    @model_validator(mode="after")
    def _give_each_copy_a_partition(self) -> Self:
        for name in ("filter_copies", "sink_copies", "archiver_copies"):
            if (copies := getattr(self, name)) > self.kafka_partitions:
                raise ValueError(
                    f"{name.upper()}={copies} is more than KAFKA_PARTITIONS="
                    f"{self.kafka_partitions}, and a copy without a partition does nothing: raise "
                    "KAFKA_PARTITIONS, then run `polygon-assets topics apply`"
                )
        return self

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
            _problem(str(part["loc"][0]), part["input"], part["msg"])
            if part["loc"]
            else part["msg"].removeprefix("Value error, ")
            for part in error.errors()
        ]
        raise SettingsError("unusable settings:\n  " + "\n  ".join(lines)) from None


def _problem(name: str, value: object, message: str) -> str:
    """One line that names the variable, its value unless it is a secret, and the cure."""
    is_secret = Settings.model_fields[name].annotation is SecretStr
    shown = "***" if is_secret else repr(value)[:SHOWN_CHARACTERS]
    return f"{name.upper()}={shown}: {message.removeprefix('Value error, ')}"
