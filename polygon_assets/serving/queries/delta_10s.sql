-- Each second of `symbol` from `from` (included) to `to` (excluded) with its change over 10 s.
SELECT
    symbol, start_timestamp, close, volume, price_10s_ago, delta_price_10s, percentage_change_10s
FROM market.stock_delta_10s(
    from_ts = {from:DateTime64(3, 'UTC')}, to_ts = {to:DateTime64(3, 'UTC')}
)
WHERE symbol = {symbol:String}
ORDER BY start_timestamp
