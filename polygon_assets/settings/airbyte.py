"""Airbyte: its two APIs, the workspace and the login.

The vendor's key and Snowflake's login, which a workspace gets too, belong to their modules.
"""

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class AirbyteSettings(SettingsGroup):
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
