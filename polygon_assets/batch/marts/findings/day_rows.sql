-- Number of rows by day, oldest first.
SELECT trading_day, COUNT(*) AS row_count
FROM $table
GROUP BY trading_day
ORDER BY trading_day
