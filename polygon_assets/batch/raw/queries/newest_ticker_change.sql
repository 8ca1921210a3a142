-- When the vendor made the newest of the changes that RAW.TICKERS contains.
SELECT max(LAST_UPDATED_UTC) AS newest_change
FROM RAW.TICKERS
