"""The view of cost: what the channels in force use and cost, by the estimate's figures.

Add a panel about cost here; the figures belong to `polygon_assets.costs`.
"""

import datetime as dt
from html import escape
from typing import Any

from polygon_assets.costs.estimate import COLUMNS, bill_of
from polygon_assets.costs.prices import PricesError, read_prices
from polygon_assets.costs.quantities import quantities
from polygon_assets.page.frame import Place, age_line, every_second, framed, html, table
from polygon_assets.page.sources import Sources
from polygon_assets.settings import Settings

CURE = "<code>polygon-assets status</code> says what is away; the page continues by itself."
NO_CHANNELS = "No subscription CSV is in force yet: the asset s3/subscriptions puts one in force."


def cost_view(sources: Sources) -> Any:
    """The page of one visitor."""
    bill, age = html(), html()
    shown: list[str] = []

    def update() -> None:
        reading = sources.rows("channels")
        rows = reading.value or []
        channels = rows[0]["channels"] if rows else []
        if channels != shown or not bill.object:
            shown[:] = channels
            bill.object = _bill(channels, sources.settings) if channels else NO_CHANNELS
        age.object = age_line(reading, dt.datetime.now(dt.UTC), CURE)

    every_second(update)
    content = ["## What the channels in force use and cost", bill, age]
    return framed(Place("Cost", "cost"), content, sources.settings.dagster_url)


def _bill(channels: list[str], settings: Settings) -> str:
    try:
        prices = read_prices(settings.prices_file)
    except PricesError as error:
        return f'<span class="problem" role="alert">{escape(str(error))}</span>'
    bill = bill_of(quantities(channels, settings), prices, settings)
    listed = ", ".join(channels[:10]) + (
        f" and {len(channels) - 10:,} more" if channels[10:] else ""
    )
    return (
        f"<p>{len(channels):,} channels: {escape(listed)}</p><p>{escape(bill.sentence())}</p>"
        + table("Bill of a month", COLUMNS, bill.rows())
    )
