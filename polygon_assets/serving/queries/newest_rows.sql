-- The newest `limit` seconds that started in the hour before `now`, newest first.
SELECT symbol, start_timestamp, close, volume, received_at
FROM market.stock_recent FINAL
WHERE start_timestamp > {now:DateTime64(3, 'UTC')} - INTERVAL 1 HOUR
  AND start_timestamp <= {now:DateTime64(3, 'UTC')}
ORDER BY start_timestamp DESC, symbol
LIMIT {limit:UInt32}
