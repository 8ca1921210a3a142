-- How many symbols of each compared day have each verdict.
SELECT trading_day, verdict, COUNT(*) AS symbols
FROM MARTS.STREAM_VS_BATCH
GROUP BY trading_day, verdict
ORDER BY trading_day, verdict
