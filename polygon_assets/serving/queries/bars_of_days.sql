-- The daily bars of `symbol` on `days`, whose regular hours are `opens` to `closes` (Unix ms). As in
-- the vendor's daily bar, prices are from regular hours, and shares are from the whole day. The
-- finality is that of the least settled second at `now` (market time); NULL once the versions have
-- expired.
WITH
    toDate(s.start_timestamp, 'America/New_York') AS trading_day,
    indexOf({days:Array(Date)}, trading_day) AS place,
    toUnixTimestamp64Milli(s.start_timestamp) >= {opens:Array(Int64)}[place]
    AND toUnixTimestamp64Milli(s.start_timestamp) < {closes:Array(Int64)}[place] AS regular
SELECT
    any(s.symbol) AS symbol,
    fromUnixTimestamp64Milli(any({opens:Array(Int64)}[place]), 'UTC') AS start,
    argMinIf(s.open, s.start_timestamp, regular) AS open,
    maxIf(s.high, regular) AS high,
    minIf(s.low, regular) AS low,
    argMaxIf(s.close, s.start_timestamp, regular) AS close,
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
        from_ts = {from:DateTime64(3, 'UTC')} - INTERVAL 1 DAY,
        to_ts = {to:DateTime64(3, 'UTC')} + INTERVAL 1 DAY
    )
    WHERE symbol = {symbol:String}
) AS f ON s.start_timestamp = f.start_timestamp
WHERE s.symbol = {symbol:String} AND trading_day IN {days:Array(Date)}
GROUP BY trading_day
HAVING countIf(regular) > 0
ORDER BY start
