"""How far a streamed day may differ from the vendor's daily bars.

Which days are loaded belongs to `batch`.
"""

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup


class ReconciliationSettings(SettingsGroup):
    volume_tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Fraction by which a day's volume in the stream may differ from the vendor's "
        "bar.",
    )
    price_tolerance: float = Field(
        0.001,
        ge=0,
        le=1,
        description="Fraction by which a day's open, high, low or close may differ from that bar.",
    )
