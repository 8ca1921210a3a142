"""Where the live page and Dagster's UI are, so that each can link to the other.

Also who may see the page; a login by OAuth belongs to Panel's own variables (PANEL_OAUTH_PROVIDER).
"""

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup

PAGE_PORT = 3010
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
    page_password: SecretStr = Field(
        NO_SECRET,
        description="Password of the live page, with any user name; needed where other machines "
        "reach it without OAuth.",
    )
    page_cookie_secret: SecretStr = Field(
        NO_SECRET,
        description="Any long random text that signs the live page's login cookies; needed with a "
        "login.",
    )
