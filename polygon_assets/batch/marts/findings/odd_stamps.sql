-- Bars whose time stamp is not of their trading day or no number, with that stamp: their number,
-- and the first of them.
SELECT COUNT(*) OVER () AS total, b.ticker, b.window_start_ms
FROM RAW.GROUPED_DAILY AS b
INNER JOIN $table AS f ON f.ticker = b.ticker AND f.trading_day = b.date
WHERE b.date = %(day)s AND f.window_start IS NULL
ORDER BY b.ticker
LIMIT $examples
