-- Rows of the trading day `day` in each daily table, and when the newest of them was read from the vendor.
SELECT 'grouped_daily' AS stream, count(*) AS row_count, max(_AIRBYTE_EXTRACTED_AT) AS extracted_at
FROM RAW.GROUPED_DAILY
WHERE DATE = %(day)s
UNION ALL
SELECT 'daily_open_close', count(*), max(_AIRBYTE_EXTRACTED_AT)
FROM RAW.DAILY_OPEN_CLOSE
WHERE DATE = %(day)s
