"""Which market calendar holds, and from when a simulated day is replayed.

Add a variable about days and hours here; intervals of a day that were missed belong to
`gap_filling`.
"""

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator

from polygon_assets.settings.group import SettingsGroup


class MarketSettings(SettingsGroup):
    market_calendar: Literal["NYSE", "24/7"] = Field(
        "NYSE",
        description="NYSE: pre-market to post-market of US trading days. 24/7: the simulated "
        "exchange, which never closes.",
    )
    market_closures: str = Field(
        "",
        description="Closures and early closes announced at short notice: YYYY-MM-DD (closed) or "
        "YYYY-MM-DD HH:MM (early close, New York), separated by semicolons. The same as lines of "
        "polygon_assets/market_closures.csv.",
    )
    market_replay: str = Field(
        "",
        pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2})?$",
        description="Day and New York time (2026-11-20T15:50) from which the simulated exchange "
        "replays; empty: market time is wall time.",
    )

    @field_validator("market_replay")
    @classmethod
    def _moment(cls, value: str) -> str:
        if value and not 2003 <= dt.datetime.fromisoformat(value).year <= 2100:
            raise ValueError("must be between 2003 and 2100")
        return value
