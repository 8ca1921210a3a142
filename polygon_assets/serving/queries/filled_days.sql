-- The trading days whose one-minute bars are stored, which happens when a day is closed.
SELECT trading_day, max(filled_at) AS closed_at, uniqExact(symbol) AS symbols
FROM market.ohlcv_1m_by_day
GROUP BY trading_day
ORDER BY trading_day
