-- The newest close of every ticker before the day `day`, in the shares of that day.
WITH newest AS (
    SELECT MAX(trading_day) AS trading_day
    FROM MARTS.FACT_DAILY_TRADING
    WHERE trading_day < %(day)s
),
splits AS (
    SELECT s.ticker, EXP(SUM(LN(s.split_from / s.split_to))) AS price_factor
    FROM MARTS.DIM_STOCK_SPLIT AS s
    INNER JOIN newest AS n ON s.execution_date > n.trading_day
    WHERE s.execution_date <= %(day)s AND s.status IN ('applied', 'decided')
    GROUP BY s.ticker
)
SELECT d.ticker, d.trading_day, d.close * COALESCE(s.price_factor, 1) AS close
FROM MARTS.FACT_DAILY_TRADING AS d
INNER JOIN newest AS n ON d.trading_day = n.trading_day
LEFT JOIN splits AS s ON s.ticker = d.ticker
ORDER BY d.ticker
