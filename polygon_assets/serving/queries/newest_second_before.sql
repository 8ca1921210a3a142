-- The start of the newest stored second of `symbol` before `before`; NULL if there is none.
SELECT maxOrNull(start_timestamp) AS newest
FROM market.stock_aggregates
WHERE symbol = {symbol:String} AND start_timestamp < {before:DateTime64(3, 'UTC')}
