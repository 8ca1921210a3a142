-- The symbols that traded on the trading day `day`, by the one-minute bars, the busiest first: the
-- number of seconds with a trade and, for the first `limit`, the starts of the five minutes with one.
SELECT
    symbol,
    seconds,
    if(row_number() OVER (ORDER BY seconds DESC, symbol) <= {limit:UInt32}, starts, []) AS intervals
FROM (
    SELECT
        b.symbol AS symbol,
        sum(b.seconds) AS seconds,
        arraySort(groupUniqArray(toDateTime64(toStartOfFiveMinutes(b.minute), 3, 'UTC'))) AS starts
    FROM market.ohlcv_1m_by_day AS b FINAL
    WHERE b.trading_day = {day:Date}
        AND (empty({symbols:Array(String)}) OR b.symbol IN {symbols:Array(String)})
    GROUP BY symbol
)
ORDER BY seconds DESC, symbol
