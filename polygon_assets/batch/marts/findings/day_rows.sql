-- Rows of a day, and of the newest day before it that has any.
SELECT trading_day, COUNT(*) AS row_count
FROM $table
WHERE trading_day = %(day)s OR trading_day = (SELECT MAX(trading_day) FROM $table WHERE trading_day < %(day)s)
GROUP BY trading_day
