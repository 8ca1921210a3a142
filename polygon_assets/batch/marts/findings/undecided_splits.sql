-- Contradictory splits, and those without a day: every undecided entry of each ticker of which one
-- may change prices of the loaded days, by day.
SELECT s.ticker, s.execution_date, s.split_from, s.split_to, s.split_id
FROM MARTS.DIM_STOCK_SPLIT AS s
WHERE s.status = 'undecided'
    AND s.ticker IN (
        SELECT ticker
        FROM MARTS.DIM_STOCK_SPLIT
        WHERE status = 'undecided'
            AND (
                execution_date IS NULL
                OR execution_date > (SELECT MIN(trading_day) FROM MARTS.FACT_DAILY_TRADING)
                AND execution_date <= (SELECT MAX(trading_day) FROM MARTS.FACT_DAILY_TRADING)
            )
    )
ORDER BY s.ticker, s.execution_date, s.split_id
