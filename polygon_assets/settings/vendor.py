"""Polygon (now Massive): the account, its addresses and its request budget.

Add a variable of the account here; when its connection counts as dead belongs to `producer`.
"""

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class VendorSettings(SettingsGroup):
    polygon_api_key: SecretStr = Field(
        NO_SECRET, description="Key of the market-data account (Polygon, now Massive)."
    )
    polygon_websocket_url: str = Field(
        "wss://socket.massive.com/stocks",
        description="Real-time stocks cluster; wss://delayed.massive.com/stocks lags 15 minutes, "
        "and no day is closed on it.",
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

    @property
    def is_delayed(self) -> bool:
        """Whether the bars come from the cluster that lags 15 minutes."""
        return "//delayed." in self.polygon_websocket_url
