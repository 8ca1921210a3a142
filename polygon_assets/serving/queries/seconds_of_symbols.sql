-- The stored seconds of each of `symbols` from `since` to `until` (excluded), newest versions only.
SELECT
    s.symbol AS symbol,
    toUnixTimestamp64Milli(s.start_timestamp) AS start_ms,
    s.open AS open,
    s.high AS high,
    s.low AS low,
    s.close AS close,
    s.volume AS volume,
    s.vwap AS vwap,
    toUnixTimestamp64Micro(s.received_at) AS received_us
FROM market.stock_aggregates AS s FINAL
WHERE s.symbol IN {symbols:Array(String)}
  AND s.start_timestamp >= {since:DateTime64(3, 'UTC')}
  AND s.start_timestamp < {until:DateTime64(3, 'UTC')}
