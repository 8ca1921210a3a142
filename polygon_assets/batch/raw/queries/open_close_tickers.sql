-- Tickers with official prices of the trading day `day`.
SELECT TICKER
FROM RAW.DAILY_OPEN_CLOSE
WHERE DATE = %(day)s
