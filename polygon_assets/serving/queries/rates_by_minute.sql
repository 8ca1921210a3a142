-- Seconds of all symbols in each minute of the trading days `day` and `before`, from the one-minute
-- bars: exact once a day is closed, at most five minutes old while the market is open.
SELECT trading_day, minute, sum(b.seconds) AS rows
FROM market.ohlcv_1m_by_day AS b FINAL
WHERE trading_day IN ({day:Date}, {before:Date})
GROUP BY trading_day, minute
ORDER BY minute
