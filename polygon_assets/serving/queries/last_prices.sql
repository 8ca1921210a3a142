-- The newest second of each of `symbols`, or of every symbol if the array is empty.
SELECT
    symbol,
    max(l.last_timestamp) AS last_timestamp,
    tupleElement(argMaxMerge(l.newest), 'close') AS close,
    tupleElement(argMaxMerge(l.newest), 'volume') AS volume,
    tupleElement(argMaxMerge(l.newest), 'accumulated_volume') AS accumulated_volume,
    max(l.last_received_at) AS last_received_at
FROM market.stock_last AS l
WHERE empty({symbols:Array(String)}) OR l.symbol IN {symbols:Array(String)}
GROUP BY symbol
ORDER BY symbol
