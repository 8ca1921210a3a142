-- Rows, and rows without a value for each column that must have one: of each day, or of the whole table where $of is NULL.
SELECT $of AS of_day, COUNT(*) AS row_count, $counts
FROM $table
GROUP BY of_day
