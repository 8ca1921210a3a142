-- Rows, and rows without a value for each required column: by day, or of the whole table if
-- $day_column is NULL.
SELECT $day_column AS of_day, COUNT(*) AS row_count, $counts
FROM $table
GROUP BY of_day
