-- The newest change that the vendor made to a ticker and that has been read.
SELECT max(LAST_UPDATED_UTC) AS newest_change
FROM RAW.TICKERS
