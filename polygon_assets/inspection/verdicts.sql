-- How many symbols of the trading day `day` have which verdict of the comparison with the stream.
SELECT VERDICT, count(*)
FROM MARTS.STREAM_VS_BATCH
WHERE TRADING_DAY = %(day)s
GROUP BY VERDICT
