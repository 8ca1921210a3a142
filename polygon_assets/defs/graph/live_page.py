"""Which view of the live page shows an asset's data, as a link in the asset's description.

Add an asset to VIEWS here; the views belong to `polygon_assets.page`.
"""

from collections.abc import Iterable, Mapping

import dagster as dg

from polygon_assets.defs.graph import keys

MARKET, TRUST, COST, SYMBOL = "", "trust", "cost", "symbol/AAPL"
VIEWS: Mapping[dg.AssetKey, str] = {
    keys.SUBSCRIPTIONS: COST,
    keys.WEBSOCKET: MARKET,
    keys.RAW: TRUST,
    keys.RAW_ARCHIVE: TRUST,
    keys.FILTERED: TRUST,
    keys.DEAD_LETTERS: TRUST,
    keys.DEAD_LETTER_TABLE: TRUST,
    keys.STOCK_AGGREGATES: TRUST,
    keys.STOCK_VERSIONS: SYMBOL,
    keys.STOCK_AS_KNOWN_AT: SYMBOL,
    keys.STOCK_FINALITY: SYMBOL,
    keys.STOCK_RECENT: MARKET,
    keys.STOCK_LAST: MARKET,
    keys.STOCK_DELTA_10S: SYMBOL,
    keys.TOP_MOVERS_10S: MARKET,
    keys.STREAM_GAPS: TRUST,
    keys.ALERTS_TABLE: TRUST,
    keys.OHLCV_1M: SYMBOL,
    keys.STREAM_VS_BATCH: TRUST,
    keys.mart("daily_prices_adjusted"): SYMBOL,
    keys.mart("dim_stock_split"): SYMBOL,
}


def linked(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec], page_url: str
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets, each with a link to its view; without a page as they are."""

    def with_link(spec: dg.AssetSpec) -> dg.AssetSpec:
        if not page_url or spec.key not in VIEWS:
            return spec
        link = f"{page_url}/{VIEWS[spec.key]}"
        return spec.replace_attributes(
            description=f"{spec.description}\n\n**On the live page:** [{link}]({link})"
        )

    return list(dg.map_asset_specs(with_link, assets))
