-- One row per symbol of the trading day `day`, to compare the stream with the vendor's daily bar.
-- As in that bar, prices are from regular hours (`open` included, `close` excluded), and shares are
-- from the whole day. A symbol that was traded only outside regular hours has no row.
WITH
    s.start_timestamp >= {open:DateTime64(3, 'UTC')}
    AND s.start_timestamp < {close:DateTime64(3, 'UTC')} AS regular
SELECT
    s.symbol AS symbol,
    argMinIf(s.open, s.start_timestamp, regular) AS open,
    maxIf(s.high, regular) AS high,
    minIf(s.low, regular) AS low,
    argMaxIf(s.close, s.start_timestamp, regular) AS close,
    sum(s.volume) AS volume,
    count() AS seconds
FROM market.stock_aggregates AS s FINAL
WHERE toDate(s.start_timestamp, 'America/New_York') = {day:Date}
GROUP BY symbol
HAVING countIf(regular) > 0
ORDER BY symbol
