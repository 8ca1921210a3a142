"""The Kafka cluster, its login, and what `topics plan|apply` asks of it.

Add a variable of the cluster here; who loads ClickHouse from it belongs to `sink`.
"""

from typing import Literal

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup

DEFAULT_PARTITIONS = 6
"""Enough for parallel consumers, and few enough for a small broker."""


class KafkaSettings(SettingsGroup):
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
    kafka_partitions: int = Field(
        DEFAULT_PARTITIONS,
        ge=1,
        le=1_000,
        description="Partitions of the raw and the filtered topic that `migrate` and `topics` ask "
        "for; as many copies of filter, sink and archiver can share the work. They can only grow: "
        "`polygon-assets topics apply`.",
    )
    kafka_principals: str = Field(
        "",
        description="Kafka users whose ACLs and quotas `polygon-assets topics` manages: "
        "ROLE=PRINCIPAL (producer=User:sa-1), separated by semicolons; roles: producer, filter, "
        "sink, archiver, dagster, migrate.",
    )
