-- Rows of each trading day that is in the fact table.
SELECT trading_day, count(*) AS row_count
FROM MARTS.FACT_DAILY_TRADING
GROUP BY trading_day
ORDER BY trading_day
