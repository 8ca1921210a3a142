-- One row per symbol of the trading day `day`: what the stream says of it, for comparing with the vendor's daily bar.
SELECT
    s.symbol AS symbol,
    argMin(s.open, s.start_timestamp) AS open,
    max(s.high) AS high,
    min(s.low) AS low,
    argMax(s.close, s.start_timestamp) AS close,
    sum(s.volume) AS volume,
    argMax(s.accumulated_volume, s.start_timestamp) AS accumulated_volume,
    count() AS seconds
FROM market.stock_aggregates AS s FINAL
WHERE toDate(s.start_timestamp, 'America/New_York') = {day:Date}
GROUP BY symbol
ORDER BY symbol
