-- The newest stored version of every pair of one of `symbols` and one of `starts` (Unix ms); the
-- caller picks its own pairs.
SELECT
    a.symbol AS symbol,
    toUnixTimestamp64Milli(a.start_timestamp) AS start_ms,
    toUnixTimestamp64Micro(max(a.received_at)) AS received_us
FROM market.stock_aggregates AS a
WHERE a.symbol IN {symbols:Array(String)}
  AND a.start_timestamp IN (
      SELECT fromUnixTimestamp64Milli(arrayJoin({starts:Array(Int64)}), 'UTC')
  )
GROUP BY symbol, start_ms
