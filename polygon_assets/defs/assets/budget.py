"""The check `within_budget`: what the subscribed channels cost, and whether that is allowed.

Add what the check shows here; the figures belong to `costs`.
"""

from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg

from polygon_assets.defs.graph.keys import SUBSCRIPTIONS
from polygon_assets.settings import Settings

WITHIN_BUDGET = dg.AssetCheckSpec(
    "within_budget",
    asset=SUBSCRIPTIONS,
    description="The channels cost no more than SUBSCRIPTIONS_MAX_USD_PER_MONTH by the estimate; "
    "a file that costs more is not put in force.",
)


@dataclass(frozen=True)
class Budget:
    """The estimate of a file, as check and as metadata, and whether it refuses the file."""

    result: dg.AssetCheckResult
    is_exceeded: bool
    metadata: dict[str, dg.MetadataValue]


def budget(channels: Collection[str], settings: Settings) -> Budget:
    """Judge channels by what they cost in a month."""
    from polygon_assets.costs.estimate import bill_of
    from polygon_assets.costs.prices import PricesError, read_prices
    from polygon_assets.costs.quantities import quantities

    limit = settings.subscriptions_max_usd_per_month
    used = quantities(channels, settings)
    metadata: dict[str, dg.MetadataValue] = {
        "estimated_events_per_second": dg.MetadataValue.float(used.events_per_second),
        "estimated_rows_per_day": dg.MetadataValue.int(used.rows),
    }
    try:
        prices = read_prices(settings.prices_file)
    except PricesError as error:
        # Without prices nothing proves that a limit is kept.
        return Budget(_within_budget(str(error), passed=False), limit > 0, metadata)
    bill = bill_of(used, prices, settings)
    is_exceeded = 0 < limit < bill.usd_per_month
    text = bill.sentence() + (
        f" The limit SUBSCRIPTIONS_MAX_USD_PER_MONTH is {limit:,.0f}." if limit else ""
    )
    metadata |= {
        "estimate": dg.MetadataValue.md(bill.markdown()),
        "estimated_usd_per_month": dg.MetadataValue.float(round(bill.usd_per_month, 2)),
    }
    return Budget(
        _within_budget(text, passed=not is_exceeded, metadata=metadata), is_exceeded, metadata
    )


def not_judged() -> dg.AssetCheckResult:
    """The result for a file that is refused anyway; Dagster expects one."""
    return _within_budget("not judged, because a line of the file is bad", passed=True)


def _within_budget(
    description: str, *, passed: bool, metadata: dict[str, dg.MetadataValue] | None = None
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed,
        asset_key=SUBSCRIPTIONS,
        check_name=WITHIN_BUDGET.name,
        description=description,
        metadata=metadata,
    )
