-- Trading days of which a daily table has rows read from the vendor at `moment` or later.
SELECT DATE AS trading_day
FROM RAW.GROUPED_DAILY
WHERE _AIRBYTE_EXTRACTED_AT >= %(moment)s::TIMESTAMP_TZ
UNION
SELECT DATE
FROM RAW.DAILY_OPEN_CLOSE
WHERE _AIRBYTE_EXTRACTED_AT >= %(moment)s::TIMESTAMP_TZ
ORDER BY trading_day
