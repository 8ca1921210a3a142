"""How fast gaps are filled, and which of them wait for a person.

When an open gap is an alert belongs to `alerts`.
"""

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup


class GapFillingSettings(SettingsGroup):
    gap_fill_requests_per_minute: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="REST calls a minute for filling gaps; 0: half of POLYGON_REQUESTS_PER_MINUTE, "
        "so that loads and the comparison of live channels go on.",
    )
    gap_fill_concurrency: int = Field(
        8, ge=1, le=64, description="REST calls that fill gaps at the same time."
    )
    gap_fill_rows_per_second: int = Field(
        20_000,
        ge=100,
        le=10_000_000,
        description="Filled seconds are published at most so fast, because live rows wait behind "
        "them; not while more messages than this wait for filter and sink.",
    )
    gap_fill_max_seconds: float = Field(
        3600.0,
        gt=0,
        le=1_000_000_000,
        description="A longer gap is filled only when a person launches the job fill_gaps.",
    )
    gap_fill_max_requests: int = Field(
        20_000,
        ge=1,
        le=1_000_000_000,
        description="A gap that needs more REST calls is filled only when a person launches the "
        "job fill_gaps.",
    )
