-- Rows without a value, for each column that must have one.
SELECT $counts
FROM $table
WHERE $rows
