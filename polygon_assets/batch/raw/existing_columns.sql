-- Columns of one table; no row if the table does not exist.
SELECT column_name
FROM information_schema.columns
WHERE table_schema = %(schema)s AND table_name = %(table)s
