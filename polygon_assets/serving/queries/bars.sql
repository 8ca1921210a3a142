-- The bars of `symbol` from `from` (included) to `to` (excluded), `width` seconds each, with the
-- finality of its least settled second at `now` (market time); NULL once the versions have expired.
SELECT
    any(s.symbol) AS symbol,
    fromUnixTimestamp64Milli(
        intDiv(toUnixTimestamp64Milli(s.start_timestamp), 1000 * {width:UInt32})
        * 1000 * {width:UInt32},
        'UTC'
    ) AS start,
    argMin(s.open, s.start_timestamp) AS open,
    max(s.high) AS high,
    min(s.low) AS low,
    argMax(s.close, s.start_timestamp) AS close,
    sum(s.volume) AS volume,
    sumIf(toFloat64(s.volume) * s.vwap, isNotNull(s.vwap))
        / nullIf(sumIf(toFloat64(s.volume), isNotNull(s.vwap)), 0) AS vwap,
    count() AS seconds,
    countIf(s.source = 'rest') AS seconds_from_rest,
    sum(f.revisions) AS revisions,
    multiIf(
        countIf(f.finality = 'provisional') > 0, 'provisional',
        countIf(f.finality = '') > 0, NULL,
        countIf(f.finality = 'revised') > 0, 'revised',
        countIf(f.finality = 'final') > 0, 'final',
        'verified'
    ) AS finality
FROM market.stock_aggregates AS s FINAL
LEFT JOIN (
    SELECT start_timestamp, revisions, finality
    FROM market.stock_finality(
        now_ts = {now:DateTime64(3, 'UTC')},
        from_ts = {from:DateTime64(3, 'UTC')},
        to_ts = {to:DateTime64(3, 'UTC')}
    )
    WHERE symbol = {symbol:String}
) AS f ON s.start_timestamp = f.start_timestamp
WHERE s.symbol = {symbol:String}
  AND s.start_timestamp >= {from:DateTime64(3, 'UTC')}
  AND s.start_timestamp < {to:DateTime64(3, 'UTC')}
GROUP BY start
ORDER BY start
