-- Rows of each reference table, when the newest of them was read from the vendor, and the newest change among the tickers.
SELECT 'exchanges' AS stream, count(*) AS row_count, max(_AIRBYTE_EXTRACTED_AT) AS extracted_at, CAST(NULL AS TIMESTAMP_TZ) AS newest_change
FROM RAW.EXCHANGES
UNION ALL
SELECT 'ticker_types', count(*), max(_AIRBYTE_EXTRACTED_AT), CAST(NULL AS TIMESTAMP_TZ)
FROM RAW.TICKER_TYPES
UNION ALL
SELECT 'tickers', count(*), max(_AIRBYTE_EXTRACTED_AT), max(LAST_UPDATED_UTC)
FROM RAW.TICKERS
UNION ALL
SELECT 'stock_split', count(*), max(_AIRBYTE_EXTRACTED_AT), CAST(NULL AS TIMESTAMP_TZ)
FROM RAW.STOCK_SPLIT
