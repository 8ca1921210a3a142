-- Distinct seconds, symbols, first and last second, and shares of each trading day from `from` to
-- `to` (both included).
SELECT
    toDate(s.start_timestamp, 'America/New_York') AS trading_day,
    count() AS rows,
    uniqExact(s.symbol) AS symbols,
    min(s.start_timestamp) AS first_timestamp,
    max(s.start_timestamp) AS last_timestamp,
    sum(s.volume) AS volume
FROM market.stock_aggregates AS s FINAL
WHERE trading_day BETWEEN {from:Date} AND {to:Date}
GROUP BY trading_day
ORDER BY trading_day
