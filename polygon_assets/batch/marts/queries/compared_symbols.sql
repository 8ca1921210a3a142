-- The symbols of one compared day, those that differ first; at most `limit`.
SELECT
    symbol, verdict, stream_close, batch_close, stream_volume, batch_volume,
    volume_drift, price_drift, different_minutes
FROM MARTS.STREAM_VS_BATCH
WHERE trading_day = %(day)s
ORDER BY IFF(verdict = 'match', 1, 0), symbol
LIMIT %(limit)s
