-- Each daily table on the trading day `day`: rows, when the newest was read from the vendor, and
-- how many rows lack a value that a bar should have, or have lost one that was no number.
SELECT
    'grouped_daily' AS stream,
    count(*) AS row_count,
    max(_AIRBYTE_EXTRACTED_AT) AS extracted_at,
    count(
        CASE
            WHEN OPEN IS NULL OR HIGH IS NULL OR LOW IS NULL OR CLOSE IS NULL OR VOLUME IS NULL
                OR VWAP IS NULL OR TRANSACTIONS IS NULL OR WINDOW_START_MS IS NULL
            THEN 1
        END
    ) AS flawed_rows
FROM RAW.GROUPED_DAILY
WHERE DATE = %(day)s
UNION ALL
SELECT
    'daily_open_close',
    count(*),
    max(_AIRBYTE_EXTRACTED_AT),
    count(
        CASE
            WHEN OPEN IS NULL OR HIGH IS NULL OR LOW IS NULL OR CLOSE IS NULL OR VOLUME IS NULL
                OR INVALID_VALUES > 0
            THEN 1
        END
    )
FROM RAW.DAILY_OPEN_CLOSE
WHERE DATE = %(day)s
