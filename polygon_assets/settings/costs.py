"""Prices for estimates, and the ceiling for a subscription CSV.

How much of each thing a set of channels uses belongs to `polygon_assets.costs`.
"""

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup


class CostSettings(SettingsGroup):
    prices_file: str = Field(
        "",
        description="CSV with the prices of production's services (item,unit,usd,as_of,source); "
        "empty for list prices.",
    )
    subscriptions_max_usd_per_month: float = Field(
        0.0,
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        description="A subscription CSV whose estimate is higher is not put in force; 0 for no "
        "limit.",
    )
