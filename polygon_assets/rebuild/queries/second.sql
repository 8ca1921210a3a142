-- The newest version of one second in the table `table`.
SELECT *
FROM market.{table:Identifier} FINAL
WHERE symbol = {symbol:String} AND start_timestamp = {start:DateTime64(3, 'UTC')}
