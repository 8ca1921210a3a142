-- Each second of `symbol` from `from` (included) to `to` (excluded): traded, quiet or unknown.
SELECT start_timestamp, status
FROM market.second_status(
    symbol = {symbol:String},
    from_ts = {from:DateTime64(3, 'UTC')},
    to_ts = {to:DateTime64(3, 'UTC')}
)
ORDER BY start_timestamp
