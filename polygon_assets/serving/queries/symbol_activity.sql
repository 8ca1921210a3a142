-- How many seconds each symbol traded from `since` to `until`, and the newest of them.
SELECT
    s.symbol AS symbol,
    uniqExact(s.start_timestamp) AS seconds,
    max(s.start_timestamp) AS newest
FROM market.stock_aggregates AS s
WHERE s.start_timestamp >= {since:DateTime64(3, 'UTC')}
  AND s.start_timestamp < {until:DateTime64(3, 'UTC')}
GROUP BY symbol
