"""ClickHouse: its address and users, and how its tables are made and kept.

How rows are batched belongs to `sink`.
"""

from typing import Literal

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class ClickHouseSettings(SettingsGroup):
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
    stock_versions_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="Days that every version of a second is kept after its receipt; 0 keeps them "
        "for ever. `polygon-assets migrate` applies a change.",
    )
