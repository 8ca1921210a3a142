-- The one-minute bars of `symbol` from `from` (included) to `to` (excluded).
SELECT symbol, minute, open, high, low, close, volume, vwap, seconds
FROM market.ohlcv_1m(from_ts = {from:DateTime64(3, 'UTC')}, to_ts = {to:DateTime64(3, 'UTC')})
WHERE symbol = {symbol:String}
ORDER BY minute
