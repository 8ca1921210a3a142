-- The newest close of every ticker before the day `day`, in the shares of that day. A ticker with an
-- undecided split in between, or one without a day, is left out, because nobody knows its close in
-- those shares.
WITH newest AS (
    SELECT MAX(trading_day) AS trading_day
    FROM MARTS.FACT_DAILY_TRADING
    WHERE trading_day < %(day)s
),
splits AS (
    SELECT
        s.ticker,
        MAX(CASE WHEN s.status = 'undecided' THEN 1 ELSE 0 END) AS undecided,
        EXP(SUM(CASE WHEN s.status <> 'undecided' THEN LN(s.price_factor) END)) AS price_factor
    FROM MARTS.DIM_STOCK_SPLIT AS s
    INNER JOIN newest AS n ON s.execution_date > n.trading_day OR s.execution_date IS NULL
    WHERE (s.execution_date <= %(day)s OR s.execution_date IS NULL)
        AND s.status IN ('applied', 'decided', 'undecided')
    GROUP BY s.ticker
)
SELECT d.ticker, d.trading_day, d.close * COALESCE(s.price_factor, 1) AS close
FROM MARTS.FACT_DAILY_TRADING AS d
INNER JOIN newest AS n ON d.trading_day = n.trading_day
LEFT JOIN splits AS s ON s.ticker = d.ticker
WHERE COALESCE(s.undecided, 0) = 0
ORDER BY d.ticker
