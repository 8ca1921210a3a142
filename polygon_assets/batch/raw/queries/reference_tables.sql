-- Each reference table: rows, when the newest was read from the vendor, and in how many rows
-- Airbyte's destination changed a value.
SELECT
    'exchanges' AS stream,
    count(*) AS row_count,
    max(_AIRBYTE_EXTRACTED_AT) AS extracted_at,
    count(IFF(ARRAY_SIZE(_AIRBYTE_META:changes) > 0, 1, NULL)) AS flawed_rows
FROM RAW.EXCHANGES
UNION ALL
SELECT
    'ticker_types',
    count(*),
    max(_AIRBYTE_EXTRACTED_AT),
    count(IFF(ARRAY_SIZE(_AIRBYTE_META:changes) > 0, 1, NULL))
FROM RAW.TICKER_TYPES
UNION ALL
SELECT
    'tickers',
    count(*),
    max(_AIRBYTE_EXTRACTED_AT),
    count(IFF(ARRAY_SIZE(_AIRBYTE_META:changes) > 0, 1, NULL))
FROM RAW.TICKERS
UNION ALL
SELECT
    'stock_split',
    count(*),
    max(_AIRBYTE_EXTRACTED_AT),
    count(IFF(ARRAY_SIZE(_AIRBYTE_META:changes) > 0, 1, NULL))
FROM RAW.STOCK_SPLIT
