"""Where the live page and Dagster's UI are, so that each can link to the other.

Who may see the page belongs to Panel's own variables (PANEL_BASIC_AUTH, PANEL_OAUTH_PROVIDER).
"""

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup

_ADDRESS = r"^(https?://[^@\s]+[^/\s])?$"


class PageSettings(SettingsGroup):
    page_url: str = Field(
        "",
        pattern=_ADDRESS,
        description="Address of the live page, without a slash at its end; empty for none.",
    )
    dagster_url: str = Field(
        "",
        pattern=_ADDRESS,
        description="Address of Dagster's UI, which the live page links to; empty for none.",
    )
