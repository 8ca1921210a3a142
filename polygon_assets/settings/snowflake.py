"""Snowflake: the account, its users, and what `snowflake plan|apply` creates.

What is loaded into it belongs to `batch`, and who loads it to `airbyte`.
"""

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class SnowflakeSettings(SettingsGroup):
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

    @field_validator("snowflake_private_key", "snowflake_loader_private_key", mode="before")
    @classmethod
    def _with_line_breaks(cls, value: object) -> object:
        """Restore line breaks, which many secret stores keep as a backslash and an n."""
        return value.replace("\\n", "\n") if isinstance(value, str) else value
