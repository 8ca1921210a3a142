-- Every symbol that traded from `since` to `until`, the most active first.
SELECT s.symbol AS symbol
FROM market.stock_aggregates AS s
WHERE s.start_timestamp >= {since:DateTime64(3, 'UTC')}
  AND s.start_timestamp < {until:DateTime64(3, 'UTC')}
GROUP BY symbol
ORDER BY count() DESC, symbol
