-- The vendor's bar of every ticker on the trading day `day`.
SELECT TICKER, OPEN, HIGH, LOW, CLOSE, VOLUME
FROM MARTS.FACT_DAILY_TRADING
WHERE TRADING_DAY = %(day)s
