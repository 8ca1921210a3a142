"""The asset keys, `system/name`, each written once. Definitions of the assets stay in `assets`."""

from dagster import AssetKey

SUBSCRIPTIONS = AssetKey(["s3", "subscriptions"])
RAW_ARCHIVE = AssetKey(["s3", "raw_archive"])
WEBSOCKET = AssetKey(["polygon", "websocket"])
RAW = AssetKey(["kafka", "polygon_stream_aggregates"])
FILTERED = AssetKey(["kafka", "custom_filtered_stock_data_topic"])
DEAD_LETTERS = AssetKey(["kafka", "polygon_dead_letters"])
DEAD_LETTER_TABLE = AssetKey(["clickhouse", "dead_letters"])
STOCK_AGGREGATES = AssetKey(["clickhouse", "stock_aggregates"])
STOCK_VERSIONS = AssetKey(["clickhouse", "stock_versions"])
STOCK_AS_KNOWN_AT = AssetKey(["clickhouse", "stock_as_known_at"])
STOCK_FINALITY = AssetKey(["clickhouse", "stock_finality"])
STOCK_RECENT = AssetKey(["clickhouse", "stock_recent"])
STOCK_LAST = AssetKey(["clickhouse", "stock_last"])
STOCK_DELTA_10S = AssetKey(["clickhouse", "stock_delta_10s"])
TOP_MOVERS_10S = AssetKey(["clickhouse", "top_movers_10s"])
STREAM_GAPS = AssetKey(["clickhouse", "stream_gaps"])
ALERTS_TABLE = AssetKey(["clickhouse", "alerts"])
OHLCV_1M = AssetKey(["clickhouse", "ohlcv_1m"])
POLYGON_REST = AssetKey(["polygon", "rest"])
AIRBYTE_SOURCE = AssetKey(["airbyte", "polygon_source"])


def raw(stream: str) -> AssetKey:
    """A table that Airbyte writes, by the name of its stream."""
    return AssetKey(["snowflake", "raw", stream])


def mart(name: str) -> AssetKey:
    """A table made from the raw ones, by its name in lower case."""
    return AssetKey(["snowflake", "marts", name])


REFERENCE_TABLES = tuple(
    raw(name) for name in ("exchanges", "ticker_types", "tickers", "stock_split")
)
TICKERS = raw("tickers")
GROUPED_DAILY = raw("grouped_daily")
DAILY_OPEN_CLOSE = raw("daily_open_close")
FACT_DAILY_TRADING = mart("fact_daily_trading")
STREAM_VS_BATCH = mart("stream_vs_batch")
