-- The vendor's bar of every ticker on the trading day `day`. A value may be NULL: then the bar
-- matches nothing, but its symbol is not lost from the comparison.
SELECT TICKER, OPEN, HIGH, LOW, CLOSE, VOLUME
FROM MARTS.FACT_DAILY_TRADING
WHERE TRADING_DAY = %(day)s
