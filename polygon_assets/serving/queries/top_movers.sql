-- The `limit` largest changes over 10 s at `now`, up or down.
SELECT
    symbol, last_timestamp, last_price,
    price_10s_ago, delta_price_10s, percentage_change_10s, volume_70s
FROM market.top_movers_10s(now_ts = {now:DateTime64(3, 'UTC')})
WHERE price_10s_ago IS NOT NULL
ORDER BY abs(percentage_change_10s) DESC, symbol
LIMIT {limit:UInt32}
