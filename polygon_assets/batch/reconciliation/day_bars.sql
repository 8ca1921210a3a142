-- The vendor's bar of every ticker on the trading day `day`; one that lacks a value is none to compare with.
SELECT TICKER, OPEN, HIGH, LOW, CLOSE, VOLUME
FROM MARTS.FACT_DAILY_TRADING
WHERE TRADING_DAY = %(day)s AND OPEN + HIGH + LOW + CLOSE + VOLUME IS NOT NULL
