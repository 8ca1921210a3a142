-- By minute of receipt since `since`: rows, and the seconds from the end of a bar's second to its
-- receipt, median and 99th percentile. What came more than a minute late is a fill or a late
-- correction, and left out.
SELECT
    -- DateTime64, because Arrow has no type for DateTime.
    toDateTime64(toStartOfMinute(r.received_at), 3, 'UTC') AS minute,
    count() AS rows,
    quantile(0.5)(dateDiff('millisecond', r.start_timestamp, r.received_at) / 1000 - 1) AS p50,
    quantile(0.99)(dateDiff('millisecond', r.start_timestamp, r.received_at) / 1000 - 1) AS p99
FROM market.stock_recent AS r
WHERE r.received_at >= {since:DateTime64(6, 'UTC')}
  AND r.start_timestamp >= {since:DateTime64(6, 'UTC')} - INTERVAL 1 MINUTE
  AND r.received_at < r.start_timestamp + INTERVAL 1 MINUTE
GROUP BY minute
ORDER BY minute
