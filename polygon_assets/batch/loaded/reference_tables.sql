-- Rows of each reference table, and when the newest of them was read from the vendor.
SELECT 'exchanges' AS stream, count(*) AS row_count, max(_AIRBYTE_EXTRACTED_AT) AS extracted_at
FROM RAW.EXCHANGES
UNION ALL
SELECT 'ticker_types', count(*), max(_AIRBYTE_EXTRACTED_AT)
FROM RAW.TICKER_TYPES
UNION ALL
SELECT 'tickers', count(*), max(_AIRBYTE_EXTRACTED_AT)
FROM RAW.TICKERS
UNION ALL
SELECT 'stock_split', count(*), max(_AIRBYTE_EXTRACTED_AT)
FROM RAW.STOCK_SPLIT
