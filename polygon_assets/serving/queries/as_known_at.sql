-- Each second of `symbol` from `from` (included) to `to` (excluded) as it was known at `at`.
SELECT
    symbol, start_timestamp, open, high, low, close, volume, vwap, accumulated_volume,
    official_open_price, aggregate_vwap, average_size, otc, received_at, source
FROM market.stock_as_known_at(
    as_of = {at:DateTime64(6, 'UTC')},
    from_ts = {from:DateTime64(3, 'UTC')},
    to_ts = {to:DateTime64(3, 'UTC')}
)
WHERE symbol = {symbol:String}
ORDER BY start_timestamp
