"""The check that compares a few symbols of the last half hour with REST.

Only Dagster's side belongs here; which symbols, and what a difference means, belongs to
`gap_filling.doubt`.
"""

import datetime as dt
import random

import dagster as dg

from polygon_assets.clients.market_clock import MarketClockError
from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.gap_filling import doubt
from polygon_assets.inspection import InspectionError
from polygon_assets.required_settings import missing_settings, not_set


@dg.asset_check(
    asset=STOCK_AGGREGATES,
    name="sample_agrees_with_rest",
    description="REST has no second of six symbols' last half hour that the table lacks: three "
    "that have been silent for unusually long, three by chance. What is missing is recorded as a "
    "gap of its channel and filled.",
)
def sample_agrees_with_rest(environment: Environment) -> dg.AssetCheckResult:
    from clickhouse_connect.driver.exceptions import Error

    from polygon_assets.clients.polygon_answers import PolygonApiError
    from polygon_assets.clients.subscription_store import SubscriptionStoreError

    settings = environment.settings()
    if names := missing_settings(settings, "gap_filler"):
        return dg.AssetCheckResult(passed=False, description=not_set(names))
    try:
        now, clock = dt.datetime.now(dt.UTC), environment.clock()
        session = environment.calendar().session_at(clock.market(now))
        if session is None:
            return dg.AssetCheckResult(passed=True, description="closed")
        # Any other seed would do: what matters is that each time other symbols are compared.
        chance = random.Random(now.timestamp())
        result = doubt.compare(settings, clock, session.extended_open, now, chance)
    except (
        Error,
        InspectionError,
        MarketClockError,
        PolygonApiError,
        SubscriptionStoreError,
    ) as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    lines = [f"{gap.cause}: {gap.channels[0]} from {gap.since:%H:%M:%S} UTC" for gap in result.new]
    return dg.AssetCheckResult(
        passed=not result.new,
        description="\n".join(lines)
        or f"nothing is missing among: {', '.join(result.symbols) or 'no symbol yet'}",
        metadata={"compared_symbols": len(result.symbols), "new_gaps": len(result.new)},
    )
