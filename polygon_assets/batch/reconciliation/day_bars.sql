-- The vendor's bar of every ticker on the trading day `day`; bars that lack a value are left out,
-- because they cannot be compared.
SELECT TICKER, OPEN, HIGH, LOW, CLOSE, VOLUME
FROM MARTS.FACT_DAILY_TRADING
WHERE TRADING_DAY = %(day)s AND OPEN + HIGH + LOW + CLOSE + VOLUME IS NOT NULL
