-- The seconds of a trading day that are stored, by minute; an error after five seconds, because a
-- sensor asks, which must not be late for its picture.
SELECT toStartOfMinute(s.start_timestamp) AS minute, count() AS seconds
FROM market.stock_aggregates AS s FINAL
WHERE toDate(s.start_timestamp, 'America/New_York') = {day:Date}
GROUP BY minute
ORDER BY minute
SETTINGS max_execution_time = 5
