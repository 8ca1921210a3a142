-- The trading days with one-minute bars, and when these were filled last: every five minutes while
-- the market is open, and once more when the day is closed; and the newest minute with a bar.
SELECT
    trading_day,
    max(filled_at) AS filled_at,
    max(minute) AS newest_minute,
    uniqExact(symbol) AS symbols
FROM market.ohlcv_1m_by_day
GROUP BY trading_day
ORDER BY trading_day
