"""The daily half: how much history, and decisions about contradictory splits.

How a day is compared with the stream belongs to `reconciliation`.
"""

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup


class BatchSettings(SettingsGroup):
    daily_history_days: int = Field(
        10,
        ge=0,
        le=2500,
        description="Trading days before today that are kept complete in Snowflake, back to "
        "2026-01-02 at most.",
    )
    split_decisions: str = Field(
        "",
        description="The right splits where the vendor's contradict each other: "
        "TICKER,DAY,OLD SHARES,NEW SHARES; separated by semicolons. The same as lines of "
        "polygon_assets/batch/marts/split_decisions.csv.",
    )
