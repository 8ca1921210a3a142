-- A number that grows with each insert of seconds; it costs less than a look at the rows.
SELECT max(max_block_number) AS newest
FROM system.parts
WHERE database = 'market' AND table = 'stock_newest' AND active
