-- Symbols of the trading day `day` by verdict of the comparison with the stream.
SELECT VERDICT, count(*)
FROM MARTS.STREAM_VS_BATCH
WHERE TRADING_DAY = %(day)s
GROUP BY VERDICT
