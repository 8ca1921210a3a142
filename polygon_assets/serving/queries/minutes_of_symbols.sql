-- Shares of each of `symbols` in each minute of the trading day `day`, to find the minutes in which
-- the stream differs from the vendor.
SELECT
    s.symbol AS symbol,
    toStartOfMinute(s.start_timestamp) AS minute,
    sum(s.volume) AS volume
FROM market.stock_aggregates AS s FINAL
WHERE s.symbol IN {symbols:Array(String)}
  AND toDate(s.start_timestamp, 'America/New_York') = {day:Date}
GROUP BY symbol, minute
ORDER BY symbol, minute
