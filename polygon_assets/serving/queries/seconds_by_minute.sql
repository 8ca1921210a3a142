-- The seconds of a trading day that are stored, by minute.
SELECT toStartOfMinute(s.start_timestamp) AS minute, count() AS seconds
FROM market.stock_aggregates AS s FINAL
WHERE toDate(s.start_timestamp, 'America/New_York') = {day:Date}
GROUP BY minute
ORDER BY minute
