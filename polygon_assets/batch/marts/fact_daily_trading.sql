-- One trading day of every traded ticker: the vendor's bar, with the official prices of subscribed
-- symbols.
SELECT
    b.ticker,
    b.date AS trading_day,
    b.open,
    b.high,
    b.low,
    b.close,
    TRY_TO_NUMBER(b.volume, 28, 6) AS volume,
    b.vwap,
    b.transactions,
    o.open AS official_open,
    o.close AS official_close,
    o.pre_market,
    o.after_hours,
    b.otc,
    -- A stamp outside the trading day is in another unit or nonsense, so it becomes null here; RAW
    -- keeps the original.
    DATEADD(
        millisecond,
        CASE
            WHEN b.window_start_ms >= DATE_PART(
                    epoch_second,
                    CONVERT_TIMEZONE('America/New_York', 'UTC', b.date::TIMESTAMP_NTZ)
                ) * 1000
                AND b.window_start_ms < DATE_PART(
                    epoch_second,
                    CONVERT_TIMEZONE(
                        'America/New_York', 'UTC', DATEADD(day, 1, b.date)::TIMESTAMP_NTZ
                    )
                ) * 1000
            THEN b.window_start_ms
        END,
        '1970-01-01 00:00:00 +00:00'::TIMESTAMP_TZ
    ) AS window_start,
    GREATEST(
        b._airbyte_extracted_at, COALESCE(o._airbyte_extracted_at, b._airbyte_extracted_at)
    ) AS loaded_at
FROM RAW.GROUPED_DAILY AS b
LEFT JOIN RAW.DAILY_OPEN_CLOSE AS o ON o.ticker = b.ticker AND o.date = b.date
WHERE b.date = %(day)s
