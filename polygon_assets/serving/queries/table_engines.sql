-- The tables of database market that keep rows, with their engines.
SELECT name, engine
FROM system.tables
WHERE database = 'market' AND engine LIKE '%MergeTree'
