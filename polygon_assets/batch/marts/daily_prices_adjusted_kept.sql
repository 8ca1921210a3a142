-- Tickers whose rows are kept unchanged: their splits contradict each other or one has no day, and
-- no person has decided yet. Splits before the first bar or after the last bar change no price.
SELECT DISTINCT s.ticker
FROM MARTS.DIM_STOCK_SPLIT AS s
WHERE s.status = 'undecided'
    AND (
        s.execution_date IS NULL
        OR s.execution_date > (SELECT MIN(trading_day) FROM MARTS.FACT_DAILY_TRADING)
        AND s.execution_date <= (SELECT MAX(trading_day) FROM MARTS.FACT_DAILY_TRADING)
    )
