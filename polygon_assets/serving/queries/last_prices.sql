-- The newest second of each of `symbols`, or of every symbol if the array is empty.
SELECT symbol, last_timestamp, close, volume, accumulated_volume, last_received_at
FROM market.stock_last
WHERE empty({symbols:Array(String)}) OR symbol IN {symbols:Array(String)}
ORDER BY symbol
